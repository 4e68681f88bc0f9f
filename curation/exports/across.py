"""The rules of a recipe that ask about all rows together: duplicates, near-duplicates, balance, and splits by cluster.

Rows are added in their order; what is held of each is some bytes in compact arrays, never its texts.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from curation.exports.near import NearDuplicates
from curation.exports.near_vectors import NearVectors
from curation.exports.recipe import FEWEST_VALUES, BalanceRule, NearRule, Recipe
from curation.exports.rules import Dropped
from curation.exports.schema import Message, Split
from curation.exports.splits import assign_split

Ints = npt.NDArray[np.int64]
ACROSS: Final = ("dedupe", "near_duplicates", "balance")
KEPT: Final = -1
DIGEST: Final = 16  # bytes of a row's content: enough never to collide
CLUSTERED: Final = 0.8  # similarity from which two prompts belong together
NAMED: Final = 20  # keys of the metadata that a refusal names
_WORTH: Final = 1e-9  # of a row, lost in the arithmetic of shares


class Decided(NamedTuple):
    """What the rules say of n rows."""

    rule: npt.NDArray[np.int8]
    """[n] place in ACROSS of the rule that drops it, or KEPT."""
    first: Ints
    """[n] the earlier row that it repeats."""
    similarity: npt.NDArray[np.float64]
    """[n] to that row."""
    names: Names
    values: Sequence[str]
    """[n] what each is, of those that are balanced."""
    most: int
    """Pairs that a value may have."""
    groups: Sequence[str] | None
    """[n] what is never in two splits; None: each row's own group."""

    def dropped(self, n: int) -> tuple[str, str] | None:
        """The rule and the cause for which the n-th row does not come."""
        rule = self.rule[n]
        if rule == KEPT:
            return None
        if ACROSS[rule] == "balance":
            return "balance", f"{self.values[n] or 'no value'} has more than {self.most} pairs"
        first = self.names[int(self.first[n])]
        if ACROSS[rule] == "dedupe":
            return "dedupe", f"same prompt, chosen and rejected as {first}"
        return "near_duplicates", f"{self.similarity[n]:.2f} like {first}"


class Names:
    """Many short texts in one block of memory."""

    def __init__(self) -> None:
        self._text, self._ends = bytearray(), array("q", [0])

    def append(self, name: str) -> None:
        self._text += name.encode()
        self._ends.append(len(self._text))

    def __getitem__(self, n: int) -> str:
        return self._text[self._ends[n] : self._ends[n + 1]].decode()

    def __len__(self) -> int:
        return len(self._ends) - 1


class Codes:
    """A column of few different texts, as numbers."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.codes = array("q")

    def append(self, name: str) -> None:
        self.codes.append(self.names.setdefault(name, len(self.names)))

    @property
    def array(self) -> Ints:
        return np.array(self.codes, dtype=np.int64)


class Across:
    """Add rows in their order, as `rules.kept` makes them; then `decide`."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.names, self.digests = Names(), bytearray()
        near = recipe.near_duplicates
        self.near = _near(near, recipe.split.seed) if near else None
        clustered = recipe.split.by == "cluster"
        self.prompts = NearDuplicates(CLUSTERED, seed=recipe.split.seed) if clustered else None
        self.groups, self.values, self.places = Codes(), Codes(), array("Q")
        self.keys: set[str] = set()
        """Of the metadata, some of those that there are where the one that is balanced by is not."""

    def add(self, row: Mapping[str, Any], vector: Any = None) -> None:
        """``vector`` is its embedding, where the recipe compares rows by theirs."""
        recipe = self.recipe
        self.names.append(row["id"])
        if recipe.dedupe:
            self.digests += content(row)
        if isinstance(self.near, NearVectors):
            self.near.add(vector)
        elif self.near is not None and recipe.near_duplicates is not None:
            self.near.add(_text(row, "prompt", *(sides(row) if recipe.near_duplicates.of == "row" else ())))
        if self.prompts is not None:
            self.prompts.add(_text(row, "prompt"))
            self.groups.append(row["group"])
        if recipe.balance is not None:
            value = value_of(row, recipe.balance) if "chosen" in row else "\0"
            self.values.append(value)
            if not value and len(self.keys) < NAMED:
                self.keys |= json.loads(row["metadata"]).keys()
            self.places.append(_place(recipe.split.seed, row["id"]))

    def decide(self) -> Decided:
        """What becomes of each row. Raises ValueError where no row has what it is to be balanced by, or where no number
        of rows would be balanced as it is asked."""
        n = len(self.names)
        rule, first = np.full(n, KEPT, dtype=np.int8), np.full(n, -1, dtype=np.int64)
        similarity = np.ones(n)
        if self.recipe.dedupe:
            first = repeats(np.frombuffer(self.digests, dtype=f"S{DIGEST}"))
            rule[first >= 0] = ACROSS.index("dedupe")
        if self.near is not None:
            near = self.near.find()
            repeated = (np.asarray(near.first) >= 0) & (rule == KEPT)
            rule[repeated] = ACROSS.index("near_duplicates")
            first[repeated] = np.asarray(near.first)[repeated]
            similarity[repeated] = np.asarray(near.similarity)[repeated]
        most = 0
        if self.recipe.balance is not None:
            most = self._balance(self.recipe.balance, rule)
        names = list(self.values.names)
        values = _Looked(names, self.values.codes)
        return Decided(rule, first, similarity, self.names, values, most, self._clusters())

    def _balance(self, asked: BalanceRule, rule: npt.NDArray[np.int8]) -> int:
        codes, places = self.values.array, np.array(self.places, dtype=np.uint64)
        pairs = np.flatnonzero((rule == KEPT) & (codes != self.values.names.get("\0", -1)))
        counts = np.bincount(codes[pairs], minlength=len(self.values.names))
        if self.values.names.keys() - {"\0"} == {""}:
            keys = ", ".join(key[:60] for key in sorted(self.keys)[:NAMED]) or "there is none"
            expected = f"{', '.join(FEWEST_VALUES)} or a key of the metadata ({keys})"
            raise ValueError("balance.by", expected, asked.by)
        most = cap(counts, asked.most)
        if most == 0 and len(pairs):
            raise ValueError(
                "balance.most", f"a share that {int((counts > 0).sum())} values of {asked.by} can have", asked.most
            )
        order = pairs[np.lexsort((pairs, places[pairs], codes[pairs]))]
        starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
        rule[order[rank >= most]] = ACROSS.index("balance")
        return most

    def _clusters(self) -> Sequence[str] | None:
        """The least group of those that a row's prompt joins it to, itself or through others."""
        if self.prompts is None:
            return None
        groups, names = self.groups.array, list(self.groups.names)
        root = joined(groups, np.asarray(self.prompts.clusters(), dtype=np.int64))
        least: dict[int, str] = {}
        for name, group in self.groups.names.items():
            at = int(root[group])
            least[at] = min(least.get(at, name), name)
        return _Looked([least[int(root[group])] for group in range(len(names))], self.groups.codes)


def _near(rule: NearRule, seed: int) -> NearDuplicates | NearVectors:
    kind = NearVectors if rule.by == "embedding" else NearDuplicates
    return kind(rule.threshold, seed=seed)


class _Looked(Sequence[str]):
    """A column by its codes."""

    def __init__(self, names: Sequence[str], codes: Sequence[int]) -> None:
        self._names, self._codes = names, codes

    def __getitem__(self, n: Any) -> Any:
        return self._names[self._codes[n]]

    def __len__(self) -> int:
        return len(self._codes)


def dropped(decided: Decided, n: int, row: Mapping[str, Any], origin: Any) -> Dropped | None:
    """As `rules.first_cause` tells it."""
    found = decided.dropped(n)
    return None if found is None else Dropped(row["id"], *found, origin)


def split_of(decided: Decided, n: int, row: Mapping[str, Any], recipe: Recipe) -> Split:
    group = row["group"] if decided.groups is None else decided.groups[n]
    return assign_split(group, seed=recipe.split.seed, fractions=recipe.split.fractions)


def content(row: Mapping[str, Any]) -> bytes:
    """What makes two rows the same: prompt, chosen and rejected; of undecided ones the completions in any order."""
    first, second = (row[name] for name in sides(row))
    if "undecided" in row and orjson.dumps(second) < orjson.dumps(first):
        first, second = second, first
    return hashlib.sha256(orjson.dumps([row["prompt"], first, second, row.get("undecided")])).digest()[:DIGEST]


def sides(row: Mapping[str, Any]) -> tuple[str, str]:
    """The names of a row's two completions."""
    return ("completion_a", "completion_b") if "undecided" in row else ("chosen", "rejected")


def value_of(row: Mapping[str, Any], rule: BalanceRule) -> str:
    """What a pair is, of what is to be balanced."""
    if rule.by == "side":
        return str(row["chosen_side"])
    if rule.by == "source":
        return str(row["source"])
    if rule.by == "length":
        chosen, rejected = _length(row["chosen"]), _length(row["rejected"])
        return "longer" if chosen > rejected else "shorter" if chosen < rejected else "as long"
    value = json.loads(row["metadata"]).get(rule.by)
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def cap(counts: Ints, most: float) -> int:
    """Pairs that each value may have, so that none has more than `most` of all that are left.

    With a cap k, the sum S(k) of min(count, k) is left, and k <= most S(k) is to hold. S is concave with S(0) = 0, so
    that this holds up to some k and never beyond: it is found by halving. 0 where no k but 0 does.
    """
    if not isinstance(most, float):
        return int(most)
    low, high = 0, int(counts.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        if middle <= most * np.minimum(counts, middle).sum() + _WORTH:
            low = middle
        else:
            high = middle - 1
    return low


def repeats(digests: npt.NDArray[np.bytes_]) -> Ints:
    """[n] the first place of the same digest [n], where that is an earlier one; -1 elsewhere."""
    if not len(digests):
        return np.zeros(0, dtype=np.int64)
    _, at, inverse = np.unique(digests, return_index=True, return_inverse=True)
    first = at[inverse]
    return np.where(first < np.arange(len(digests)), first, -1)


def joined(groups: Ints, clusters: Ints) -> Ints:
    """[groups] the component of each group, where rows of one cluster join their groups; arrays are [n]."""
    root = np.arange(int(groups.max(initial=-1)) + 1)
    first: dict[int, int] = {}
    for group, cluster in zip(groups.tolist(), clusters.tolist(), strict=True):
        a, b = _root(root, group), _root(root, first.setdefault(cluster, group))
        root[max(a, b)] = min(a, b)
    return np.array([_root(root, group) for group in range(len(root))], dtype=np.int64)


def _root(root: Ints, at: int) -> int:
    while root[at] != at:
        root[at] = root[root[at]]
        at = int(root[at])
    return at


def _place(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0balance\0{name}".encode()).digest()[:8], "big")


def _text(row: Mapping[str, Any], *names: str) -> str:
    return "\n".join(message["content"] for name in names for message in row[name])


def _length(messages: Sequence[Message]) -> int:
    return sum(len(message["content"]) for message in messages)
