"""Each format read by the trainer that it is for: TRL's own trainers here, and the published rules of the others.

The rules stand here as small checkers, each with the file that it was read from: their packages want a GPU's software.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curation.exports.files import wire_line
from curation.exports.formats import FORMATS, converter
from curation.services.exporting import NAMES
from tests.curation.exports.rows import message, row

TURNS = [message("Be terse.", "system"), message("Hi", "user"), message("Hello"), message("And now?", "user")]
ROWS = [
    row(f"c{i}", prompt=TURNS if i % 2 else [message("Say four.", "user")], completion_b=[message(f"no {i}")])
    for i in range(4)
]


def written(name: str, folder: Path, rows: Any = ROWS) -> Path:
    """What `rows/?format=` sends, as a file."""
    module, options = NAMES[name]
    path = folder / "train.jsonl"
    path.write_bytes(b"".join(wire_line(made) for each in rows for made in converter(module).convert(each, options)))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


# --- TRL --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny() -> Any:
    """A tokenizer with a chat template, of single characters, and a model's configuration to go with it."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    vocabulary = {token: n for n, token in enumerate(["<pad>", "<eos>", "<unk>", *map(chr, range(32, 127)), "\n"])}
    characters = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    characters.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
    characters.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=characters, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}<eos>{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, max_position_embeddings=512, pad_token_id=0, eos_token_id=1, bos_token_id=None,
        num_labels=1,
    )  # fmt: skip
    return tokenizer, config


def loaded(path: Path, tmp_path: Path) -> Any:
    from datasets import Dataset

    return Dataset.from_json(str(path), cache_dir=str(tmp_path / "cache"))


def settings(kind: Any, tmp_path: Path, **more: Any) -> Any:
    return kind(
        output_dir=str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True,
        bf16=False, save_strategy="no", disable_tqdm=True, max_length=256, **more,
    )  # fmt: skip


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL and what it stands on warn of what is experimental, and of their own."""
    import warnings

    warnings.simplefilter("ignore")


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("name", ["trl", "trl-text", "trl-implicit", "trl-implicit-text", "trl-margin"])
def test_trls_reward_trainer_reads_and_trains_on_it(tiny: Any, tmp_path: Path, name: str) -> None:
    from transformers import LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    tokenizer, config = tiny
    trainer = RewardTrainer(
        model=LlamaForSequenceClassification(config),
        args=settings(RewardConfig, tmp_path),
        train_dataset=loaded(written(name, tmp_path), tmp_path),
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == len(ROWS)
    first = trainer.train_dataset[0]
    chosen, rejected = (tokenizer.decode(first[f"{side}_ids"]) for side in ("chosen", "rejected"))
    assert "Say four." in chosen
    assert "4" in chosen
    assert "no 0" in rejected
    assert "no 0" not in chosen
    assert ("margin" in first) == (name == "trl-margin")
    assert trainer.train().training_loss > 0


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("name", ["trl", "trl-text", "trl-implicit"])
def test_trls_dpo_trainer_reads_and_trains_on_it(tiny: Any, tmp_path: Path, name: str) -> None:
    from transformers import LlamaForCausalLM
    from trl import DPOConfig, DPOTrainer

    tokenizer, config = tiny
    trainer = DPOTrainer(
        model=LlamaForCausalLM(config),
        ref_model=LlamaForCausalLM(config),
        args=settings(DPOConfig, tmp_path),
        train_dataset=loaded(written(name, tmp_path), tmp_path),
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == len(ROWS)
    assert trainer.train().training_loss > 0


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("name", ["kto", "kto-text"])
def test_trls_kto_trainer_reads_and_trains_on_it(tiny: Any, tmp_path: Path, name: str) -> None:
    from transformers import LlamaForCausalLM
    from trl import KTOConfig, KTOTrainer

    tokenizer, config = tiny
    trainer = KTOTrainer(
        model=LlamaForCausalLM(config),
        ref_model=LlamaForCausalLM(config),
        args=settings(KTOConfig, tmp_path),
        train_dataset=loaded(written(name, tmp_path), tmp_path),
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == 2 * len(ROWS)
    assert trainer.train().training_loss > 0


# --- the published rules of the others --------------------------------------------------------------------------------


def is_messages(value: Any) -> bool:
    return bool(value) and all(set(m) == {"role", "content"} and isinstance(m["content"], str) for m in value)


def llama_factory(line: dict[str, Any], columns: dict[str, str]) -> None:
    """src/llamafactory/data/converter.py, SharegptDatasetConverter: turns alternate, an odd number of them before a
    ranked pair, an even one with a KTO tag; what does not is dropped with a warning.
    """
    turns = line[columns["messages"]]
    assert [turn["from"] for turn in turns] == [("human", "gpt")[i % 2] for i in range(len(turns))]
    assert len(turns) % 2 == (0 if "kto_tag" in columns else 1)
    for side in ("chosen", "rejected"):
        assert side not in columns or line[columns[side]]["from"] == "gpt"
    assert "kto_tag" not in columns or isinstance(line[columns["kto_tag"]], bool)


@pytest.mark.parametrize("name", ["llama-factory", "llama-factory-kto"])
def test_llama_factorys_converter_drops_no_line(tmp_path: Path, name: str) -> None:
    beside = converter(name).beside({"prefs": "train.jsonl"})["dataset_info.json"]["prefs"]  # type: ignore[attr-defined]
    lines = read(written(name, tmp_path))
    assert (beside["file_name"], beside["formatting"]) == ("train.jsonl", "sharegpt")
    for line in lines:
        llama_factory(line, beside["columns"])
    assert len(lines) == len(ROWS) * FORMATS[name].records


def test_openrlhfs_reward_dataset_reads_it(tmp_path: Path) -> None:
    """openrlhf/datasets/reward_dataset.py, preprocess_data with a prompt key: the template is applied to prompt and
    reply, and again to the prompt alone, which must be its beginning.
    """
    for line in read(written("openrlhf", tmp_path)):
        assert all(is_messages(line[key]) for key in ("prompt", "chosen", "rejected"))
        assert line["prompt"][-1]["role"] == "user"
        assert {m["role"] for key in ("chosen", "rejected") for m in line[key]} == {"assistant"}
        assert "margin" not in line


def test_axolotls_strategies_read_it(tmp_path: Path) -> None:
    """axolotl/prompt_strategies/dpo/chat_template.py `default` takes the columns' messages and the last reply of each
    side; bradley_terry/chat_template.py takes system, input, chosen and rejected as texts.
    """
    for line in read(written("axolotl", tmp_path)):
        assert is_messages(line["messages"])
        assert line["messages"][-1]["role"] == "user"
        assert all(set(line[side]) == {"role", "content"} for side in ("chosen", "rejected"))
    single = [each for each in ROWS if len(each["prompt"]) == 1]
    for line in read(written("axolotl-reward", tmp_path, single)):
        assert {key: type(value) for key, value in line.items()} == dict.fromkeys(
            ("system", "input", "chosen", "rejected"), str
        )


def test_verls_rlhf_dataset_reads_it(tmp_path: Path) -> None:
    """verl/utils/dataset/rl_dataset.py: prompt_key `prompt` is messages; the reward manager reads data_source and
    reward_model.ground_truth; `index` and the like are looked up in extra_info.
    """
    for line in read(written("verl", tmp_path)):
        assert is_messages(line["prompt"])
        assert isinstance(line["reward_model"]["ground_truth"], str)
        assert isinstance(line["data_source"], str)
        assert isinstance(line["extra_info"], dict)


def test_nemo_rls_preference_dataset_reads_it(tmp_path: Path) -> None:
    """nemo_rl/data/datasets/preference_datasets: exactly two completions, the lower rank preferred."""
    for line, each in zip(read(written("ranking", tmp_path)), ROWS, strict=True):
        assert is_messages(line["context"])
        better, worse = sorted(line["completions"], key=lambda completion: completion["rank"])
        assert (better["rank"], worse["rank"]) == (0, 1)
        assert better["completion"] == each["chosen"]


def test_helpsteers_reader_in_nemo_rl_prefers_the_chosen_side(tmp_path: Path) -> None:
    """nemo_rl/data/datasets/preference_datasets/helpsteer3.py: below 0 response1 is chosen, above 0 response2; at 0
    both are the same text, which is no pair.
    """
    for line, each in zip(read(written("helpsteer", tmp_path)), ROWS, strict=True):
        assert line["overall_preference"] != 0
        chosen = line["response1"] if line["overall_preference"] < 0 else line["response2"]
        assert chosen == each["chosen"][0]["content"]


def test_rewardbenchs_loader_reads_it(tmp_path: Path) -> None:
    """rewardbench/utils.py, load_preference_dataset: prompt, chosen and rejected of one kind, a subset to count by."""
    for line in read(written("rewardbench", tmp_path)):
        assert all(isinstance(line[key], str) and line[key] for key in ("prompt", "chosen", "rejected", "subset", "id"))
