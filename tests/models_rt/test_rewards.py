"""Reward models: objective, encoder, training, saving and evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models_rt import benchmarks, encoders, files
from models_rt.cli import main
from models_rt.encoders.cache import FeatureCache
from models_rt.encoders.huggingface import HuggingFaceEncoder, pool
from models_rt.records import Pair, PreferenceRow
from models_rt.rewards import config as configs
from models_rt.rewards.config import TrainConfig
from models_rt.rewards.evaluation import disagreements, evaluate, margins_of
from models_rt.rewards.metrics import accuracy, calibration_error, wilson
from models_rt.rewards.model import load
from models_rt.rewards.objectives import BradleyTerry
from models_rt.rewards.training import folds, out_of_fold, train

SURFACE = TrainConfig(embed=(), surface=("log_words", "log_digits"), l2=(0.01,))
PROMPT = ({"role": "user", "content": "q"},)


def row(n: int, chosen: str, rejected: str, *, split: str = "train", **changes: Any) -> PreferenceRow:
    base = PreferenceRow(f"r{n}", PROMPT, chosen, rejected, None, 1.0, split, f"g{n % 3}")  # type: ignore[arg-type]
    return replace(base, **changes)


def rows(n: int = 12, split: str = "train") -> list[PreferenceRow]:
    """The chosen completion has more words by a growing amount."""
    return [row(i, "word " * (i + 2), "word", split=split) for i in range(n)]


def test_bradley_terry_gives_hand_derived_values() -> None:
    # d = 0: ln 2 whatever p. d = ln 3, p = 1: -ln(3/4) = ln(4/3). d = ln 3, p = 1/2: (ln(4/3) + ln 4) / 2.
    loss, three = BradleyTerry(), math.log(3)
    assert loss(torch.tensor([0.0]), torch.tensor([0.3])).item() == pytest.approx(math.log(2))
    assert loss(torch.tensor([three]), torch.tensor([1.0])).item() == pytest.approx(math.log(4 / 3))
    soft = (math.log(4 / 3) + math.log(4)) / 2
    assert loss(torch.tensor([three]), torch.tensor([0.5])).item() == pytest.approx(soft)
    # Weights 3 and 1: (3 ln 2 + ln(4/3)) / 4.
    both = loss(torch.tensor([0.0, three]), torch.ones(2), torch.tensor([3.0, 1.0]))
    assert both.item() == pytest.approx((3 * math.log(2) + math.log(4 / 3)) / 4)


def test_bradley_terry_is_finite_for_extreme_margins_and_its_gradient_checks() -> None:
    assert torch.isfinite(BradleyTerry()(torch.tensor([1e4, -1e4]), torch.tensor([0.9, 0.2])))
    margins = torch.tensor([0.3, -2.0, 5.0], dtype=torch.float64, requires_grad=True)
    fixed = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m: BradleyTerry()(m, fixed, fixed), (margins,))


class WordTokenizer:
    """Words to ids by their length, padded on the right with a pad that is EOS: the trap of last-token pooling."""

    padding_side = truncation_side = "right"

    def __call__(self, texts: Sequence[str], *, max_length: int, **_: Any) -> dict[str, torch.Tensor]:
        ids = [[len(w) % 20 + 1 for w in t.split()][:max_length] or [1] for t in texts]
        longest = max(map(len, ids))
        padded = torch.tensor([i + [0] * (longest - len(i)) for i in ids])
        mask = torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for i in ids])
        return {"input_ids": padded, "attention_mask": mask}


def tiny(pooling: str) -> HuggingFaceEncoder:
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

    torch.manual_seed(0)
    size = {
        "vocab_size": 24,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    model: Any = LlamaModel(LlamaConfig(**size)) if pooling == "last" else BertModel(BertConfig(**size))
    tokenizer = WordTokenizer()
    return HuggingFaceEncoder(model, tokenizer, fingerprint="t", pooling=pooling, max_length=32, normalise=False)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_vector_does_not_depend_on_its_neighbours_in_the_batch(pooling: str) -> None:
    encoder, texts = tiny(pooling), ["a bb", "ccc dddd eeeee ffffff g", "hh"]
    together = encoder.encode(texts, batch_size=3)
    alone = np.concatenate([encoder.encode([t], batch_size=1) for t in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_pooling_takes_what_the_mask_marks() -> None:
    hidden = torch.arange(6.0).reshape(1, 3, 2)  # tokens (0, 1), (2, 3), (4, 5); the third is padding
    mask = torch.tensor([[1, 1, 0]])
    assert pool(hidden, mask, "last").tolist() == [[2.0, 3.0]]
    assert pool(hidden, mask, "mean").tolist() == [[1.0, 2.0]]


def test_the_packaged_minilm_embeds_offline_with_unit_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    vectors = encoders.load("minilm").encode(["a cat sat", "a kitten sat", "tax law"])
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_an_encoder_that_is_not_there_is_refused_without_asking_the_hub() -> None:
    with pytest.raises(ValueError, match="/nowhere/model"):
        encoders.load("hf:/nowhere/model")
    with pytest.raises(ValueError, match="hf, minilm"):
        encoders.load("word2vec")


def test_the_cache_encodes_each_text_once_and_mends_a_broken_file(tmp_path: Path) -> None:
    class Counting:
        fingerprint, dimension, seen = "f", 2, 0

        def encode(self, texts: Sequence[str], **_: Any) -> np.ndarray:
            self.seen += len(texts)
            return np.array([[len(t), 1] for t in texts], np.float32)

    encoder, cache = Counting(), FeatureCache(tmp_path)
    first = cache.encode(encoder, ["a", "bb", "a"])
    assert encoder.seen == 2
    next(tmp_path.rglob("*.f32")).write_bytes(b"half")
    np.testing.assert_array_equal(cache.encode(encoder, ["a", "bb", "a"]), first)
    assert encoder.seen == 3


def test_two_examples_are_overfitted() -> None:
    data = [row(0, "a b c d 1 2", "a"), row(1, "x y z", "x 5 5 5 5 5 5")]
    result = train(data, replace(SURFACE, l2=(1e-6,)))
    assert evaluate(result.model, data, split="train").accuracy.value == 1.0
    assert result.loss < 0.05


def test_the_same_seed_gives_the_same_weights() -> None:
    config = replace(SURFACE, l2=(0.01, 0.1))
    first, second = train(rows(), config), train(rows(), config)
    assert first.model.name == second.model.name
    assert first.validation == second.validation
    assert len(first.validation) == 2


def test_soft_labels_of_one_half_teach_nothing() -> None:
    data = [replace(r, probability=0.5) for r in rows()]
    assert train(data, SURFACE).model.score([Pair("p", PROMPT, "a", "a b c")])[0] == pytest.approx(0.0, abs=1e-6)  # type: ignore[arg-type]


def test_a_saved_model_scores_as_before(tmp_path: Path) -> None:
    config = replace(SURFACE, embed=("completion",), encoder="minilm")
    model = train(rows(4), config).model
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    pairs = [Pair("p", PROMPT, "a b", "c d e f")]  # type: ignore[arg-type]
    np.testing.assert_array_equal(model.score(pairs), again.score(pairs))
    assert again.name == model.name
    margin = again.reward(PROMPT, "c d e f") - again.reward(PROMPT, "a b")  # type: ignore[arg-type]
    assert margin == pytest.approx(float(again.score(pairs)[0]), abs=1e-5)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ValueError, match="never loaded"):
        load(tmp_path)


def test_a_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    train(rows(), SURFACE).model.save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(ValueError, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("data", [[], [row(0, "same", "same")], rows(3, "test"), [row(0, "a b", "a", weight=0.0)]])
def test_rows_that_teach_nothing_are_refused(data: list[PreferenceRow]) -> None:
    with pytest.raises(ValueError, match="expected rows to train on"):
        train(data, SURFACE)


def test_one_group_takes_the_middle_l2_and_says_so() -> None:
    data = [replace(r, group="g") for r in rows()]
    result = train(data, replace(SURFACE, l2=(0.01, 0.1, 1.0)))
    assert result.l2 == 0.1
    assert "one group only" in result.notes[0]


def test_folds_keep_groups_whole() -> None:
    groups = ["a", "b", "c", "a", "b"]
    found = folds(groups, SURFACE)
    assert all(len({f for f, g in zip(found, groups, strict=True) if g == name}) == 1 for name in "abc")
    assert len(set(found)) == 3


def test_out_of_fold_margins_are_those_of_models_trained_without_the_fold() -> None:
    data = [*rows(), row(20, "same", "same"), row(21, "w 1 2", "w w", weight=0.0), row(22, "5", "a b", probability=0.7)]
    config = replace(SURFACE, inner_folds=2)
    fold = folds([r.group for r in data], config)
    expected = np.zeros(len(data))
    for k in (0, 1):
        model = train([r for r, f in zip(data, fold, strict=True) if f != k], config).model
        expected[fold == k] = margins_of(model, [r for r, f in zip(data, fold, strict=True) if f == k])
    found = out_of_fold(data, config)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found[12] == 0.0  # identical completions
    assert found.dtype == np.float64


def test_out_of_fold_encodes_each_text_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, seen = encoders.load("minilm"), list[str]()
    encode = type(encoder).encode

    def counting(self: Any, texts: Sequence[str], **settings: Any) -> Any:
        seen.extend(texts)
        return encode(self, texts, **settings)

    monkeypatch.setattr(type(encoder), "encode", counting)
    found = out_of_fold(rows(6), replace(SURFACE, embed=("completion",)))
    assert np.isfinite(found).all()
    assert len(seen) == len(set(seen)) == 7  # six chosen, one rejected that they share


def test_out_of_fold_margins_do_not_exist_without_a_second_group() -> None:
    one = [replace(r, group="g") for r in rows(4)]
    assert np.isnan(out_of_fold(one, SURFACE)).all()
    assert out_of_fold([], SURFACE).shape == (0,)
    # Group h alone teaches, so it has no model of other groups; g has h's.
    some = [*(replace(r, weight=0.0) for r in one), *(replace(r, group="h") for r in one)]
    assert np.isnan(out_of_fold(some, SURFACE)).tolist() == [False] * 4 + [True] * 4


def test_out_of_fold_needs_the_chosen_l2() -> None:
    with pytest.raises(ValueError, match="l2: expected one value, got 2"):
        out_of_fold(rows(), replace(SURFACE, l2=(0.1, 1.0)))


def test_an_empty_split_gives_none_with_a_reason() -> None:
    found = evaluate(train(rows(), SURFACE).model, rows())
    assert (found.n, found.accuracy.value, found.ece) == (0, None, None)
    assert found.reason
    assert found.accuracy.reason


def test_identical_completions_are_ties_that_count_half() -> None:
    found = evaluate(train(rows(), SURFACE).model, [row(0, "same", "same", split="test")])
    assert (found.ties, found.identical, found.accuracy.value, found.length_baseline.value) == (1, 1, 0.5, 0.5)


def test_the_fitted_length_direction_comes_from_the_training_rows() -> None:
    data = [row(i, "a", "a b c") for i in range(6)] + [row(9, "a", "a b", split="test")]
    found = evaluate(train(data, SURFACE).model, data)
    assert found.length_direction == "shorter wins"
    assert (found.length_baseline.value, found.length_fitted.value) == (0.0, 1.0)


def test_disagreements_are_confident_on_both_sides_and_sorted() -> None:
    model = train(rows(), replace(SURFACE, l2=(1e-4,))).model
    odd = [row(50, "word", "word " * 5), row(51, "word", "word " * 40), row(52, "word", "word " * 40, probability=0.6)]
    found = disagreements(model, [*rows(), *odd])
    assert [d.id for d in found] == ["r51", "r50"]
    assert "100%" in found[0].reason


def test_wilson_gives_a_published_value() -> None:
    # Newcombe (1998), table I, method 3: 81 of 263 gives 0.2553 to 0.3662.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_accuracy_and_calibration_give_hand_derived_values() -> None:
    # Margins ln 3: confidence 3/4. Three right of four: gap 0. One right of four: |1/4 - 3/4| = 1/2 if all say +.
    three = math.log(3)
    margins = np.array([three, three, three, -three])
    found = accuracy(margins, ["g"] * 4, np.random.default_rng(0))
    assert (found.value, found.n) == (0.75, 4)
    assert calibration_error(margins) == pytest.approx(0.0)
    assert calibration_error(-margins) == pytest.approx(0.5)
    assert calibration_error(np.array([])) is None


def test_settings_are_read_over_toml_and_bad_ones_named(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('seed = 3\nembed = ["conversation"]\n')
    config = configs.load(path, ["seed=4", "l2=[0.1, 1]", "encoder=minilm"])
    assert (config.seed, config.embed, config.l2) == (4, ("conversation",), (0.1, 1.0))
    for setting, named in (
        ("sed=1", "sed"),
        ("seed=x", "seed"),
        ("l2=0", "l2"),
        ("embed=[3]", "embed"),
        ("seed", "--set"),
    ):
        with pytest.raises(ValueError, match=named):
            configs.load(None, [setting])


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def native(split: str, n: int) -> list[dict[str, Any]]:
    turn = [{"role": "user", "content": "q"}]
    return [
        {
            "id": f"{split}{i}",
            "prompt": turn,
            "chosen": [{"role": "assistant", "content": "word " * (i + 2)}],
            "rejected": [{"role": "assistant", "content": "word"}],
            "probability": 0.9,
            "margin": None,
            "group": f"g{i}",
            "split": split,
        }
        for i in range(n)
    ]


def test_a_version_in_parquet_and_in_json_lines_reads_the_same(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "p").mkdir()
    (tmp_path / "j").mkdir()
    pq.write_table(pa.Table.from_pylist(native("train", 3)), tmp_path / "p" / "train.parquet")
    write(tmp_path / "j" / "train.jsonl", native("train", 3))
    assert files.version_rows(tmp_path / "p") == files.version_rows(tmp_path / "j")


def test_the_commands_train_score_evaluate_and_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "train.jsonl", native("train", 10))
    write(tmp_path / "test.jsonl", native("test", 4))
    model, out = str(tmp_path / "m"), str(tmp_path / "out.jsonl")
    assert main(["train", str(tmp_path), "--to", model, "--set", "embed=[]", "--set", "l2=0.01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["evaluation"]["accuracy"]["value"] == 1.0
    pairs = str(write(tmp_path / "pairs.jsonl", [{"id": "x", "prompt": "q", "a": "word", "b": "word " * 9}]))
    assert main(["score", model, pairs, "--to", out]) == 0
    assert json.loads(Path(out).read_text())["margin"] > 0
    plain = str(write(tmp_path / "plain.jsonl", [{"prompt": "q", "chosen": "w w w", "rejected": "w"}]))
    assert main(["evaluate", model, plain, "--benchmark", "pairs"]) == 0
    judged = ["--kind", "reward-model", "--model", model]
    for extra in (["--backend", "scripted"], judged):
        assert main(["judge", pairs, "--to", out, *extra, "--json"]) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["parsed"] == 2


def test_a_failure_exits_1_naming_the_field_and_misuse_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = str(write(tmp_path / "bad.jsonl", [{"prompt": "q", "chosen": 3, "rejected": "r"}]))
    assert main(["train", bad, "--to", str(tmp_path / "m")]) == 1
    assert "row 1, chosen" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["train"])
    assert stopped.value.code == 2


def test_an_unknown_benchmark_is_refused_with_the_known(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pairs"):
        benchmarks.read("nope", tmp_path)
