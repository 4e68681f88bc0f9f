"""Word differences of two texts, line by line first, so that long texts cost little."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import Final, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["same", "removed", "added"]
MOST: Final = 2_000  # words of a changed passage, or lines: more are told as a whole, removed and added
_WORDS: Final = re.compile(r"\s+|\w+|[^\w\s]")


class Piece(NamedTuple):
    kind: Kind
    text: str


def differences(before: str, after: str) -> list[Piece]:
    """What of `before` was removed and what of `after` was added, in reading order.

    The removed and the same pieces make up `before`, the added and the same ones `after`.
    """
    pieces = _passages(before.splitlines(keepends=True), after.splitlines(keepends=True))
    joined = ((kind, "".join(piece.text for piece in run)) for kind, run in groupby(pieces, key=lambda p: p.kind))
    return [Piece(kind, text) for kind, text in joined if text]


def _passages(before: Sequence[str], after: Sequence[str]) -> Iterator[Piece]:
    for same, old, new in _runs(before, after):
        if same:
            yield Piece("same", "".join(old))
        else:
            yield from _words(_WORDS.findall("".join(old)), _WORDS.findall("".join(new)))


def _words(old: Sequence[str], new: Sequence[str]) -> Iterator[Piece]:
    for same, gone, come in _runs(old, new):
        if same:
            yield Piece("same", "".join(gone))
        else:
            yield Piece("removed", "".join(gone))
            yield Piece("added", "".join(come))


def _runs(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[bool, Sequence[str], Sequence[str]]]:
    """Whether both have it, and what each has, in reading order.

    What is found everywhere, such as a space, begins no match (autojunk): with it a rewritten page took minutes.
    """
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    yield True, old[:head], new[:head]
    gone, come = old[head : len(old) - tail], new[head : len(new) - tail]
    if max(len(gone), len(come)) > MOST:
        yield False, gone, come
    else:
        for tag, i, j, k, m in SequenceMatcher(None, gone, come).get_opcodes():
            yield tag == "equal", gone[i:j], come[k:m]
    yield True, old[len(old) - tail :], new[len(new) - tail :]


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many they begin with alike."""
    return next((n for n, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(len(one), len(other)))
