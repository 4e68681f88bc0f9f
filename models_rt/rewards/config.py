"""The configuration of one training: flat, frozen, from TOML and `key=value`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from models_rt.encoders.surface import SURFACE
from models_rt.noise import TREATMENTS

EMBEDDED: Final = ("completion", "conversation")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What to train. The defaults were chosen by topic cross-validation on ukpconvarg1's training topics."""

    encoder: str = "minilm"
    head: str = "linear"
    objective: str = "bradley-terry"
    embed: tuple[str, ...] = ("completion",)  # completion alone, conversation (prompt and completion), or both
    surface: tuple[str, ...] = tuple(SURFACE)
    embed_scale: float = 0.3  # standard deviation of an embedding feature beside 1 of a surface one: a tighter prior
    l2: tuple[float, ...] = (0.002, 0.01, 0.03, 0.1, 0.3)  # candidates; one value skips the inner validation
    inner_folds: int = 4
    soft_labels: bool = True
    ties: bool = False  # a tie is an outcome of its own, not half of each side's: objectives.RaoKupper
    margin: float = 0.0  # for each level of strength, how far chosen is to be ahead; 1/3 is that of Llama 2's
    max_iterations: int = 200
    epochs: int = 10  # of a head that is no linear one, and of what is watched while it learns
    learning_rate: float = 0.003
    pairs_a_step: int = 128
    noise: str = "none"  # what becomes of doubtful labels: models_rt.noise.TREATMENTS
    noise_rate: float = 0.0  # share of wrong labels; 0 estimates it
    soften: float = 0.4  # probability that a softened label is wrong
    partitions: int = 3  # into folds: models of each label in the ensemble
    noise_folds: str = "pair"  # what these folds keep whole: pair or group
    batch_size: int = 64
    seed: int = 0
    device: str = "cpu"
    allow_download: bool = False

    def __post_init__(self) -> None:
        """Refuse what no training could use, naming the field."""
        if not self.embed and not self.surface:
            raise ValueError("embed, surface: expected at least one feature, got none")
        if any(name not in EMBEDDED for name in self.embed):
            raise ValueError(f"embed: expected among {', '.join(EMBEDDED)}, got {', '.join(self.embed)}")
        if any(name not in SURFACE for name in self.surface):
            raise ValueError(f"surface: expected among {', '.join(SURFACE)}, got {', '.join(self.surface)}")
        if not self.l2 or min(self.l2) <= 0:
            raise ValueError(f"l2: expected positive values, got {self.l2}")
        if not self.embed_scale > 0:
            raise ValueError(f"embed_scale: expected above 0, got {self.embed_scale}")
        self._check_learning()
        self._check_labels()
        for name in ("inner_folds", "max_iterations", "batch_size", "epochs", "pairs_a_step", "partitions"):
            if getattr(self, name) < (2 if name == "inner_folds" else 1):
                raise ValueError(f"{name}: too small, got {getattr(self, name)}")

    def _check_labels(self) -> None:
        if self.ties and not self.soft_labels:
            raise ValueError("ties: expected soft_labels beside it, got hard labels, which know no tie")
        if not self.margin >= 0:
            raise ValueError(f"margin: expected 0 or more, got {self.margin}")

    def _check_learning(self) -> None:
        if self.noise not in TREATMENTS:
            raise ValueError(f"noise: expected one of {', '.join(TREATMENTS)}, got {self.noise!r}")
        if self.noise_folds not in ("pair", "group"):
            raise ValueError(f"noise_folds: expected pair or group, got {self.noise_folds!r}")
        if not 0 <= self.noise_rate < 0.5:
            raise ValueError(f"noise_rate: expected from 0 to below 0.5, got {self.noise_rate}")
        if not 0 <= self.soften <= 0.5:
            raise ValueError(f"soften: expected from 0 to 0.5, got {self.soften}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate: expected above 0, got {self.learning_rate}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as saved beside the weights."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def from_mapping(values: Mapping[str, Any]) -> TrainConfig:
    """A configuration from plain values; ValueError names an unknown key or a value of the wrong type."""
    default = TrainConfig()
    known = {f.name for f in fields(TrainConfig)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"config: expected keys among {', '.join(sorted(known))}, got {', '.join(unknown)}")
    return replace(default, **{k: _typed(k, v, getattr(default, k)) for k, v in values.items()})


def load(path: Path | None = None, settings: Sequence[str] = ()) -> TrainConfig:
    """A TOML file, if any, then `key=value` settings over it (values in TOML; a bare word is a string)."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"config: expected a TOML file, got {path}: {error}") from None
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"--set: expected key=value, got {setting!r}")
        values[key.strip()] = _value(text.strip())
    return from_mapping(values)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _typed(key: str, value: Any, default: Any) -> Any:
    if isinstance(default, tuple):
        items = value if isinstance(value, list | tuple) else [value]
        convert = float if key == "l2" else str
        if key == "l2" and any(isinstance(i, bool) or not isinstance(i, int | float) for i in items):
            raise ValueError(f"{key}: expected numbers, got {value!r}")
        return tuple(convert(i) for i in items)
    if type(value) is not type(default):
        raise ValueError(f"{key}: expected {type(default).__name__}, got {value!r}")
    return value
