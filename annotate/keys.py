"""The keys of the comparing screen: every action with its name and its default, and what a person may choose instead.

Keys are written as the browser names them (`KeyboardEvent.key`), single characters in lower case: `d`, `?`,
`ArrowLeft`, `Ctrl+Enter`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class Action(NamedTuple):
    name: str
    label: Any  # translated when it is shown
    default: str


_CHOICES: Final = [
    gettext_lazy("First choice from the left"),
    gettext_lazy("Second choice"),
    gettext_lazy("Third choice"),
    gettext_lazy("Fourth choice"),
    gettext_lazy("Fifth choice"),
    gettext_lazy("Sixth choice"),
    gettext_lazy("Seventh choice"),
]
ACTIONS: Final = (
    *(Action(f"choose_{number}", label, str(number)) for number, label in enumerate(_CHOICES, 1)),
    Action("left", gettext_lazy("Move the choice to the left"), "ArrowLeft"),
    Action("right", gettext_lazy("Move the choice to the right"), "ArrowRight"),
    Action("both_bad", gettext_lazy("Both are bad"), "b"),
    Action("justify", gettext_lazy("Write the justification"), "j"),
    Action("submit", gettext_lazy("Submit and go on"), "Ctrl+Enter"),
    Action("skip", gettext_lazy("Cannot judge: skip"), "x"),
    Action("flag", gettext_lazy("Flag a problem"), "f"),
    Action("comment", gettext_lazy("Comment to the curators"), "c"),
    Action("highlight", gettext_lazy("Highlight the selected text as evidence"), "h"),
    Action("diff", gettext_lazy("Show the differences word by word"), "d"),
    Action("scroll", gettext_lazy("Scroll both responses together"), "s"),
    Action("fold", gettext_lazy("Fold or unfold long responses"), "o"),
    Action("previous", gettext_lazy("My previous answers"), "p"),
    Action("undo", gettext_lazy("Undo the last answer"), "z"),
    Action("guidelines", gettext_lazy("Guidelines"), "g"),
    Action("help", gettext_lazy("Help with the keys"), "?"),
)
DEFAULTS: Final[Mapping[str, str]] = {action.name: action.default for action in ACTIONS}
# What may be pressed, besides one visible character: keys that neither browsers nor screen readers need.
NAMED: Final = (
    *("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Ctrl+Enter", "Shift+Enter", "Alt+Enter", "Insert", "Delete"),
    *(f"F{number}" for number in range(2, 11) if number != 5),
)
_BY_LOWER: Final = {name.lower(): name for name in NAMED}
_ONE: Final = re.compile(r"[^\s\x00-\x1f\x7f-\xa0\ud800-\udfff]")


def keymap(chosen: Mapping[str, str] | None) -> dict[str, str]:
    """Every action's key: the defaults, with what a person chose laid over them."""
    known = {name: key for name, key in (chosen or {}).items() if name in DEFAULTS}
    return {**DEFAULTS, **known}


def read(typed: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(Every action's key as typed, complaints by action). An action that is left out keeps its default."""
    keys, errors = dict(DEFAULTS), {}
    for name in DEFAULTS.keys() & typed.keys():
        keys[name] = written = _read(typed[name])
        if not _allowed(written):
            errors[name] = _("“%(key)s” cannot be a key: type one character, or one of %(named)s.") % {
                "key": written[:20], "named": ", ".join(NAMED),
            }  # fmt: skip
    return keys, {**_clashes(keys), **errors}


def chosen(keys: Mapping[str, str]) -> dict[str, str]:
    """What is stored: only what differs from the defaults, so that a new default reaches those who did not choose."""
    return {name: key for name, key in keys.items() if key != DEFAULTS[name]}


def _read(typed: str) -> str:
    text = typed.strip()
    return _BY_LOWER.get(text.lower(), text.lower() if len(text) == 1 else text)


def _allowed(key: str) -> bool:
    return key in NAMED or bool(_ONE.fullmatch(key))


def _clashes(keys: Mapping[str, str]) -> dict[str, str]:
    """Each action whose key is another's too, told which."""
    labels = {action.name: str(action.label) for action in ACTIONS}
    clashes = {}
    for name, key in keys.items():
        others = [labels[other] for other, taken in keys.items() if taken == key and other != name]
        if others:
            clashes[name] = _("“%(key)s” is also the key of: %(others)s.") % {"key": key, "others": ", ".join(others)}
    return clashes
