"""The page on reward models says what the code does."""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path

from models_rt.cli import parser
from models_rt.encoders.surface import SURFACE
from models_rt.rewards import config as configs
from models_rt.rewards.config import TrainConfig

PAGE = (Path(__file__).parents[2] / "docs" / "reward_models.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", re.MULTILINE)


def test_every_setting_stands_in_the_table_in_order_with_its_default() -> None:
    table = {name: default for name, default, _ in ROW.findall(PAGE)}
    assert list(table) == [f.name for f in fields(TrainConfig)]
    assert table.pop("surface") == f"all {len(SURFACE)}"
    stated = tomllib.loads("\n".join(f"{name} = {default.strip('`')}" for name, default in table.items()))
    assert configs.from_mapping(stated) == TrainConfig()


def test_the_python_of_the_page_runs(tmp_path: Path) -> None:
    from models_rt.records import PreferenceRow
    from models_rt.rewards.training import train

    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    row = PreferenceRow("r", (), "long and worked out", "short", None, 1.0, "train", "g")
    train([row], TrainConfig(embed=(), l2=(0.01,))).model.save(tmp_path / "chat-rm")
    names: dict[str, object] = {}
    exec(code.replace("models/chat-rm", str(tmp_path / "chat-rm")), names)  # noqa: S102
    rewards, margin = names["rewards"], names["margin"]
    assert abs(rewards[1] - rewards[0] - margin) < 1e-5  # type: ignore[index, operator]


def test_the_commands_of_the_page_are_commands() -> None:
    lines = re.findall(r"^python -m models_rt (.+?)(?:  +#.*)?$", PAGE, re.MULTILINE)
    assert {parser().parse_args(shlex.split(line)).command for line in lines} == {"train", "score", "evaluate", "judge"}


def test_the_page_names_no_place_of_the_machine_that_it_was_written_on() -> None:
    assert not re.search(r"/(home|work|root|tmp)/", PAGE)
