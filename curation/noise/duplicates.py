"""Conflicts between labels: the same texts labelled the other way, and cycles of preferences.

Texts that are equal, or nearly, are one item; a comparison is an edge between two items of a prompt, pointing to the
one that its label prefers. An edge whose ends can reach each other lies on a cycle: somewhere on it a label is wrong.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.noise.scores import Scores
from curation.stats.aggregation.contract import sums
from curation.stats.votes import BoolArray, FloatArray, IntArray

SketchArray = npt.NDArray[np.uint32]

BINS: Final = 16
BANDS: Final = 4
NEAR: Final = 15
"""Bins of 16 in which two sketches agree where their texts are nearly the same: nine in ten of their shingles."""
WORDS: Final = 20
"""A shorter text is only equal or not: one word more or less is much of it."""
SHINGLE: Final = 3
NAMED: Final = 4
"""Comparisons of a cycle that its cause names."""
LOOKS: Final = 10_000_000
"""Edges looked at for the causes of all conflicts together; each may look at `LEAST` at least."""
LEAST: Final = 100
TELL: Final = 1_000
PEELS: Final = 20
"""Passes over all edges; what they leave, such as long chains, Tarjan's algorithm takes apart in one."""
FAR: Final = "it lies on a long cycle of comparisons: together they say the opposite"


class Items(NamedTuple):
    """n texts: what each is, and what it is like."""

    exact: IntArray
    """[n] fingerprint of the words, whatever their case and the blanks between them."""
    sketch: SketchArray
    """[n, 16] smallest hashes of its shingles by bin; a short text has one of its own."""


def items(texts: Iterable[str]) -> Items:
    """Read each text once; some 150 bytes of each are kept."""
    exact, sketches = list[int](), list[SketchArray]()
    for text in texts:
        words = text.casefold().split()
        digest = hashlib.blake2b(" ".join(words).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        exact.append(int.from_bytes(digest, "big", signed=True))
        sketches.append(_sketch(words, digest))
    table = np.array(sketches, dtype=np.uint32).reshape(-1, BINS)
    return Items(np.array(exact, dtype=np.int64), table)


def _sketch(words: Sequence[str], digest: bytes) -> SketchArray:
    """One permutation hashing (Li, Owen and Zhang 2012): the smallest hash in each of 16 bins stands for the text."""
    if len(words) < WORDS:
        return np.frombuffer(digest * (BINS // 2), dtype=np.uint32)  # equal for equal texts, and for no others
    hashes = np.fromiter((zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words), np.uint64, len(words))
    mixed = np.zeros(len(words) - SHINGLE + 1, dtype=np.uint64)
    for place in range(SHINGLE):
        mixed = (mixed + hashes[place : len(words) - SHINGLE + 1 + place]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    ordered = np.sort((mixed >> np.uint64(32)).astype(np.uint32))
    bins, first = np.unique(ordered >> np.uint32(28), return_index=True)
    sketch = np.full(BINS, 0xFFFFFFFF, dtype=np.uint32)
    sketch[bins] = ordered[first]
    return sketch


def clusters(found: Items, apart: tuple[IntArray, IntArray] | None = None) -> IntArray:
    """[n] codes: equal for texts that are equal or nearly so.

    ``apart`` holds positions of pairs that were compared with each other: whoever compared them saw a difference, so
    where nearness would make a pair one, nothing is near in its cluster, and only equal texts are the same there.
    """
    _, exact = np.unique(found.exact, return_inverse=True)
    near = _near(found.sketch)
    if apart is not None:
        same = near[apart[0]] == near[apart[1]]
        spoilt = np.isin(near, near[apart[0][same]])
        near = np.where(spoilt, len(near) + exact, near)
    # Equal texts have equal sketches, so a cluster never splits them.
    codes: IntArray = np.unique(near, return_inverse=True)[1]
    return codes


def _near(sketch: SketchArray) -> IntArray:
    """[n] the first position that a text is near to, by way of others if need be."""
    label = np.arange(len(sketch))
    width = BINS // BANDS
    edges = [_bucketed(sketch, slice(band * width, (band + 1) * width)) for band in range(BANDS)]
    left, right = np.concatenate([e[0] for e in edges]), np.concatenate([e[1] for e in edges])
    alike = (sketch[left] == sketch[right]).sum(axis=1) >= NEAR if len(left) else np.zeros(0, dtype=bool)
    left, right = left[alike], right[alike]
    while True:
        least = np.minimum(label[left], label[right])
        before = label.copy()
        np.minimum.at(label, left, least)
        np.minimum.at(label, right, least)
        label = label[label]
        if (label == before).all():
            return label


def _bucketed(sketch: SketchArray, band: slice) -> tuple[IntArray, IntArray]:
    """Each text with the first of those whose sketch is the same in the band."""
    keys = np.ascontiguousarray(sketch[:, band]).view(np.dtype((np.void, 4 * (band.stop - band.start)))).ravel()
    _, first, code = np.unique(keys, return_index=True, return_inverse=True)
    others = np.flatnonzero(first[code] != np.arange(len(sketch)))
    return first[code[others]], others


def conflicts(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    side: npt.ArrayLike,
    names: Sequence[str],
    *,
    tell: Callable[[], Any] = lambda: None,
) -> Scores:
    """Scores of n edges from item ``a`` to item ``b``, codes [n]; ``side`` [n] is -1 (a preferred), 0 (a tie) or 1.

    Items get potentials by least squares over all edges (Hodge decomposition; Jiang, Lim, Yao and Ye 2011, "Statistical
    ranking and combinatorial Hodge theory"): what they cannot explain is cyclic. An edge on a directed cycle scores
    half its residual in the direction of its label, 1 at most: of two opposite labels of one pair each scores 1/2, of
    three of which one is opposite that one 2/3 and the others 1/3. An edge on no cycle scores 0; one that no other edge
    is held against (a bridge), and a tie, nan. ``tell`` is called now and then while causes are looked for.
    """
    left, right, sign = (np.asarray(each, dtype=np.int64) for each in (a, b, side))
    if not left.shape == right.shape == sign.shape == (len(names),):
        raise ValueError("side", f"a, b and side of shape {(len(names),)}", sign.shape)
    known, codes = np.unique(np.concatenate([left, right]), return_inverse=True)
    left, right = codes[: len(left)], codes[len(left) :]
    decided = (sign != 0) & (left != right)
    loser, winner = np.where(sign > 0, left, right), np.where(sign > 0, right, left)
    component = _components(loser, winner, decided, len(known))
    cyclic = decided & (component[loser] == component[winner])
    potential = _potentials(loser, winner, decided, len(known))
    residual = 1.0 - (potential[winner] - potential[loser])
    score = np.where(cyclic, np.clip(residual / 2, 0, 1), 0.0)
    score[~decided | _alone(left, right, decided, len(known))] = np.nan
    return Scores(score, _causes(score, loser, winner, cyclic, component, names, tell))


def _components(loser: IntArray, winner: IntArray, used: BoolArray, n: int) -> IntArray:
    """[n items] strongly connected components; an item on no cycle is one of its own.

    Items that nothing leads to, or that lead to nothing, are peeled off first: they are on no cycle, and mostly they
    are all there is.
    """
    alive = used.copy()
    for _ in range(PEELS):
        into = np.bincount(winner[alive], minlength=n)
        out = np.bincount(loser[alive], minlength=n)
        through = (into > 0) & (out > 0)
        kept = alive & through[loser] & through[winner]
        if kept.sum() == alive.sum():
            break
        alive = kept
    component = np.arange(n, 2 * n)
    core: dict[int, list[int]] = {}
    for tail, head in zip(loser[alive].tolist(), winner[alive].tolist(), strict=True):
        core.setdefault(tail, []).append(head)
    for number, members in enumerate(_tarjan(core)):
        component[members] = number
    return component


def _tarjan(graph: Mapping[int, Sequence[int]]) -> list[list[int]]:
    """Strongly connected components (Tarjan 1972), without recursion: a path may be as long as the graph."""
    found: list[list[int]] = []
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    waiting: set[int] = set()
    for root in graph:
        if root in order:
            continue
        path = [(root, iter(graph[root]))]
        while path:
            node, heads = path[-1]
            if node not in order:
                order[node] = low[node] = len(order)
                stack.append(node)
                waiting.add(node)
            head = next((h for h in heads if h not in order or h in waiting), None)
            if head is None:
                path.pop()
                _close(node, order, low, stack, waiting, found)
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
            elif head in order:
                low[node] = min(low[node], order[head])
            else:
                path.append((head, iter(graph.get(head, ()))))
    return found


def _close(
    node: int, order: Mapping[int, int], low: Mapping[int, int], stack: list[int], waiting: set[int],
    found: list[list[int]],
) -> None:  # fmt: skip
    """A node that reaches nothing earlier than itself ends a component: all above it on the stack."""
    if low[node] != order[node]:
        return
    place = len(stack) - 1
    while stack[place] != node:
        place -= 1
    members = stack[place:]
    del stack[place:]
    waiting.difference_update(members)
    found.append(members)


def _potentials(loser: IntArray, winner: IntArray, used: BoolArray, n: int, *, tol: float = 1e-6) -> FloatArray:
    """[n items] least squares of 1 = s[winner] - s[loser] over the used edges, by conjugate gradients."""
    tail, head = loser[used], winner[used]

    def laplacian(s: FloatArray) -> FloatArray:
        flow = s[head] - s[tail]
        return sums(head, flow, n) - sums(tail, flow, n)

    s: FloatArray = np.zeros(n)
    residual: FloatArray = (np.bincount(head, minlength=n) - np.bincount(tail, minlength=n)).astype(np.float64)
    direction: FloatArray = residual.copy()
    norm = float(residual @ residual)
    for _ in range(10 * int(np.sqrt(n)) + 100):
        if norm <= tol**2 * max(1, len(tail)):
            break
        image = laplacian(direction)
        step = norm / float(direction @ image)
        s, residual = s + step * direction, residual - step * image
        norm, before = float(residual @ residual), norm
        direction = residual + norm / before * direction
    return s


def _alone(a: IntArray, b: IntArray, used: BoolArray, n: int) -> BoolArray:
    """[edges] those that nothing can contradict: one of their ends is in no other edge, directly or once such are gone.

    Bridges between two cycles are not found so; they score 0, which is what they deserve.
    """
    edges = np.flatnonzero(used)
    left, right = a[edges], b[edges]
    ends = np.concatenate([left, right])
    degree = np.bincount(ends, minlength=n)
    # All edges of an item by exclusive or: of an item with one edge left, that one.
    last = np.zeros(n, dtype=np.int64)
    np.bitwise_xor.at(last, ends, np.concatenate([np.arange(len(edges))] * 2))
    alone = np.zeros(len(used), dtype=bool)
    alone[edges[_peeled(left.tolist(), right.tolist(), degree.tolist(), last.tolist())]] = True
    return alone


def _peeled(left: Sequence[int], right: Sequence[int], degree: list[int], last: list[int]) -> IntArray:
    """Edges in the order in which they are peeled off the items that have no other; each is looked at once."""
    gone: list[int] = []
    leaves = [item for item, edges in enumerate(degree) if edges == 1]
    while leaves:
        item = leaves.pop()
        if degree[item] != 1:
            continue
        edge = last[item]
        gone.append(edge)
        for end in (left[edge], right[edge]):
            degree[end] -= 1
            last[end] ^= edge
            if degree[end] == 1:
                leaves.append(end)
    return np.array(gone, dtype=np.int64)


def _causes(
    score: FloatArray, loser: IntArray, winner: IntArray, cyclic: BoolArray, component: IntArray,
    names: Sequence[str], tell: Callable[[], Any],
) -> list[str]:  # fmt: skip
    texts = ["" if np.isnan(s) else "nothing contradicts it" for s in score.tolist()]
    places = np.flatnonzero(cyclic).tolist()
    leading: dict[int, list[tuple[int, int]]] = {}
    for place in places:
        leading.setdefault(int(loser[place]), []).append((int(winner[place]), place))
    direct = {(int(loser[place]), int(winner[place])): place for place in reversed(places)}
    looks = max(LEAST, LOOKS // max(1, len(places)))
    ways: dict[tuple[int, int], list[int]] = {}
    for done, place in enumerate(places):
        if done % TELL == 0:
            tell()
        ends = int(winner[place]), int(loser[place])
        if ends not in ways:
            ways[ends] = [direct[ends]] if ends in direct else _way(*ends, leading, looks)
        texts[place] = _cycle(ways[ends], names)
    return texts


def _way(start: int, end: int, leading: Mapping[int, Sequence[tuple[int, int]]], looks: int) -> list[int]:
    """The edges of a shortest directed path: breadth first. None where so many looks at an edge do not find it.

    ``leading`` holds only edges within components, so that no path leaves the one where it starts.
    """
    came: dict[int, tuple[int, int]] = {start: (-1, -1)}
    queue = deque([start])
    while queue and end not in came:
        node = queue.popleft()
        for head, edge in leading.get(node, ())[:looks]:
            looks -= 1
            if head not in came:
                came[head] = (node, edge)
                queue.append(head)
        if looks <= 0:
            break
    if end not in came:
        return []
    path = []
    while end != start:
        end, edge = came[end]
        path.append(edge)
    return path[::-1]


def _cycle(way: Sequence[int], names: Sequence[str]) -> str:
    if not way:
        return FAR
    if len(way) == 1:
        return f"{names[way[0]]} has the same two texts, or nearly, and the opposite label"
    named = ", ".join(names[edge] for edge in way[:NAMED]) + (" …" if len(way) > NAMED else "")
    return f"it makes a cycle of {len(way) + 1} with {named}: together they say the opposite"
