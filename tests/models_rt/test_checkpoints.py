"""Encoders from real checkpoints, made on the spot: small weights in safetensors and a trained tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    PreTrainedTokenizerFast,
)

from models_rt import encoders
from models_rt.encoders.huggingface import HuggingFaceEncoder
from models_rt.records import Pair, PreferenceRow
from models_rt.rewards.config import TrainConfig
from models_rt.rewards.evaluation import evaluate
from models_rt.rewards.model import load
from models_rt.rewards.training import train

CORPUS = [
    "a reason is given for every claim that is made",
    "no reason is given and the claim is repeated",
    "the answer is short but right",
    "the answer is long and wrong because it repeats the claim",
]
TEXTS = ["a reason is given", "the answer is long and wrong because it repeats the claim", "right", "no"]
CONTEXT = 24  # tokens that the small models read
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": CONTEXT,
}


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Loaded encoders are kept by their path, and each test has its own."""
    encoders.load.cache_clear()
    yield
    encoders.load.cache_clear()


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Whole words between [CLS] and [SEP], as BERT reads them."""
    made = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(CORPUS, trainers.WordLevelTrainer(special_tokens=special))
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(t, made.token_to_id(t)) for t in ("[CLS]", "[SEP]")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )


def byte_tokenizer(**tokens: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE without a start token, as many causal models have it."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=alphabet)
    made.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>", **tokens)


def bert(folder: Path, kind: type = BertModel) -> str:
    """A two-layer BERT saved in `folder`, as a spec."""
    tokenizer = word_tokenizer()
    torch.manual_seed(0)
    kind(BertConfig(vocab_size=len(tokenizer), **SMALL)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f"hf:{folder}"


def llama(folder: Path, kind: type = LlamaForCausalLM, **tokens: str) -> str:
    """A two-layer Llama saved in `folder`, as a spec; without a pad token unless one is given."""
    tokenizer = byte_tokenizer(**tokens)
    torch.manual_seed(0)
    kind(LlamaConfig(vocab_size=len(tokenizer), **SMALL)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f"hf:{folder}"


MADE = pytest.mark.parametrize("make", [bert, llama])


def loaded(spec: str) -> HuggingFaceEncoder:
    encoder = encoders.load(spec)
    assert isinstance(encoder, HuggingFaceEncoder)
    return encoder


@pytest.mark.parametrize(
    ("make", "kind", "pooling"),
    [
        (bert, BertModel, "mean"),
        (bert, BertForMaskedLM, "mean"),
        (llama, LlamaForCausalLM, "last"),
        (llama, LlamaModel, "last"),
    ],
)
def test_the_pooling_follows_the_kind_of_model(tmp_path: Path, make: Any, kind: type, pooling: str) -> None:
    assert loaded(make(tmp_path, kind)).pooling == pooling


@MADE
def test_a_vector_depends_neither_on_padding_nor_on_the_order_of_the_batch(tmp_path: Path, make: Any) -> None:
    encoder = loaded(make(tmp_path))
    together = encoder.encode(TEXTS, batch_size=4)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    turned = encoder.encode(TEXTS[::-1], batch_size=3)
    np.testing.assert_allclose(together, turned[::-1], atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_mean_pooling_is_the_mean_of_the_models_own_states(tmp_path: Path) -> None:
    encoder = loaded(bert(tmp_path))
    ids = encoder.tokenizer(TEXTS[0], return_tensors="pt")
    with torch.inference_mode():
        expected = encoder.model(**ids).last_hidden_state.mean(1).numpy()
    np.testing.assert_allclose(encoder.encode(TEXTS)[:1], expected, atol=1e-5)


def test_last_pooling_is_the_state_at_the_last_word_not_at_the_padding(tmp_path: Path) -> None:
    encoder = loaded(llama(tmp_path))
    ids = encoder.tokenizer(TEXTS[2], return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        expected = encoder.model(input_ids=ids).last_hidden_state[:, -1].numpy()
    np.testing.assert_allclose(encoder.encode(TEXTS)[2:3], expected, atol=1e-5)


@pytest.mark.parametrize("tokens", [{}, {"pad_token": "</s>"}, {"pad_token": "<pad>"}])
def test_the_pad_of_a_causal_model_never_equals_its_eos(tmp_path: Path, tokens: dict[str, str]) -> None:
    tokenizer = loaded(llama(tmp_path, **tokens)).tokenizer
    assert tokenizer.pad_token_id is not None
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.padding_side == "right"
    assert len(tokenizer) <= encoders.load(f"hf:{tmp_path}").model.config.vocab_size  # type: ignore[attr-defined]


@MADE
def test_text_past_the_context_is_cut_and_counted(tmp_path: Path, make: Any) -> None:
    encoder = loaded(make(tmp_path))
    long = "because " * 100
    assert encoder.max_length == CONTEXT
    assert np.isfinite(encoder.encode([long, *TEXTS])).all()
    assert encoder.truncated([long, "right", long + "right", "no"]) == 2


def test_a_text_that_just_fits_is_not_counted(tmp_path: Path) -> None:
    # Of 24 tokens [CLS] and [SEP] take two: 22 words fit and 23 do not.
    encoder = loaded(bert(tmp_path))
    assert [encoder.truncated(["right " * n]) for n in (22, 23)] == [0, 1]


def test_a_causal_model_keeps_the_end_of_a_long_text_and_a_bidirectional_one_its_beginning(tmp_path: Path) -> None:
    filler = "because " * 100
    mean, last = loaded(bert(tmp_path / "b")), loaded(llama(tmp_path / "l"))
    np.testing.assert_allclose(*mean.encode([filler + "right", filler + "no"]), atol=1e-6)
    right, no = last.encode([filler + "right", filler + "no"])
    assert np.abs(right - no).max() > 1e-3


@MADE
def test_an_empty_text_has_a_finite_vector_and_disturbs_nobody(tmp_path: Path, make: Any) -> None:
    encoder = loaded(make(tmp_path))
    vectors = encoder.encode(["", *TEXTS])
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(vectors[1:], encoder.encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(encoder.encode([""]), vectors[:1], atol=1e-5)


@MADE
def test_a_lone_surrogate_is_read_as_a_replacement_character(tmp_path: Path, make: Any) -> None:
    encoder = loaded(make(tmp_path))
    broken, replaced = encoder.encode(["right \ud800 no", "right \ufffd no"])
    np.testing.assert_allclose(broken, replaced, atol=1e-5)
    assert encoder.truncated(["\ud800"]) == 0


def rows(split: str = "train") -> list[PreferenceRow]:
    """The chosen completion gives reasons; the last one's is longer than the context."""
    good = ["a reason is given", "the answer is right", "every claim is made", "because " * 100]
    return [PreferenceRow(f"r{i}", (), text, "no", None, 1.0, split, f"g{i}") for i, text in enumerate(good)]


@MADE
def test_a_model_on_such_an_encoder_scores_as_before_once_saved_and_loaded(tmp_path: Path, make: Any) -> None:
    spec = make(tmp_path / "encoder")
    config = TrainConfig(encoder=spec, embed=("completion", "conversation"), surface=("log_words",), l2=(0.01,))
    model = train([*rows(), *rows("test")], config).model
    model.save(tmp_path / "model")
    encoders.load.cache_clear()
    again = load(tmp_path / "model")
    pairs = [Pair("p", (), "no", text) for text in TEXTS]
    np.testing.assert_array_equal(model.score(pairs), again.score(pairs))
    assert again.name == model.name


@MADE
def test_training_and_evaluation_say_how_many_texts_were_cut(tmp_path: Path, make: Any) -> None:
    config = TrainConfig(encoder=make(tmp_path), surface=(), l2=(0.01,))
    data = [*rows(), *rows("test")[:3]]
    model = train(data, config).model
    # Five distinct texts, one of them too long; the test split lacks it.
    assert model.facts["truncated"] == 1
    assert evaluate(model, data, split="train").as_dict()["truncated"] == 1
    assert evaluate(model, data).as_dict()["truncated"] == 0
    assert train(data, TrainConfig(embed=(), l2=(0.01,))).model.facts["truncated"] == 0


def test_the_cut_texts_are_counted_when_their_vectors_come_from_the_cache(tmp_path: Path) -> None:
    config = TrainConfig(encoder=bert(tmp_path / "encoder"), surface=(), l2=(0.01,))
    counts = [train(rows(), config, cache=tmp_path / "cache").model.facts["truncated"] for _ in range(2)]
    assert counts == [1, 1]


def test_a_checkpoint_of_pickled_weights_alone_is_refused(tmp_path: Path) -> None:
    spec = bert(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(BertModel(BertConfig(vocab_size=30, **SMALL)).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin; pickled weights are never loaded"):
        encoders.load(spec)


def test_a_checkpoint_that_lacks_weights_is_refused_instead_of_filled_with_chance(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    spec = bert(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"1 are missing: encoder\.layer\.1\.output\.dense\.weight"):
        encoders.load(spec)


def fingerprints(specs: Sequence[str]) -> list[str]:
    found = []
    for spec in specs:
        encoders.load.cache_clear()
        found.append(encoders.load(spec).fingerprint)
    return found


def test_the_fingerprint_stays_over_loads_and_changes_with_weights_and_with_the_tokenizer(tmp_path: Path) -> None:
    spec = bert(tmp_path, BertForMaskedLM)  # saved without a pooler, which is drawn anew at each load and never used
    torch.manual_seed(1)
    first, again = fingerprints([spec, spec])
    assert first == again
    rules = tmp_path / "tokenizer.json"
    rules.write_text(rules.read_text().replace('"reason"', '"season"'))
    [other_words] = fingerprints([spec])
    assert other_words != first
    BertForMaskedLM(BertConfig(vocab_size=len(word_tokenizer()), **SMALL)).save_pretrained(tmp_path)
    [other_weights] = fingerprints([spec])
    assert other_weights not in (first, other_words)
