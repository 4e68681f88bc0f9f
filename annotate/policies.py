"""The choices that assigning and judging make, as pure functions: which side first, where to look, whom to ask.

Identity (`a`, `b`) never changes; left and right are screen position only. `ab` means that a stood left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from tiebreak.core.intervals import wilson

T = TypeVar("T")
Order: TypeAlias = Literal["ab", "ba"]
ORDERS: Final[tuple[Order, Order]] = ("ab", "ba")
Purpose: TypeAlias = Literal["work", "gold", "repeat"]
AGREED: Final = 2 / 3  # the share of the leading side from which on people agree


class EntryRules(Protocol):
    """How many gold comparisons a form asks of a newcomer."""

    @property
    def practice_size(self) -> int: ...

    @property
    def qualification_size(self) -> int: ...


class Hidden(Protocol):
    """The shares of hidden gold and of hidden repeats that a form asks for."""

    @property
    def gold_rate(self) -> float: ...

    @property
    def repeat_rate(self) -> float: ...


class Place(NamedTuple):
    """A lane as the queue sees it: what it asks of a rater, and which part of the project it holds."""

    number: int
    skills: Sequence[str] = ()
    language: str = ""
    stratum: str = ""


class Draw(NamedTuple):
    """The lots of one assignment."""

    purpose: float
    start: float
    order: Order


class OrderCounts(NamedTuple):
    """How often each order was shown: on one comparison, or to one rater."""

    ab: int
    ba: int

    def rarer(self) -> Order | None:
        """The order shown less often; None where they are even."""
        if self.ab == self.ba:
            return None
        return "ab" if self.ab < self.ba else "ba"


def order_to_show(comparison: OrderCounts, rater: OrderCounts, lot: Order) -> Order:
    """Counterbalance: the order that this comparison lacks, else the one that this rater lacks, else by lot.

    The comparison goes first, since a comparison has few seats and a rater many comparisons: with an even overlap
    every comparison is seen equally in both orders, and a left-hand habit cancels inside its consensus.
    """
    return comparison.rarer() or rater.rarer() or lot


def start_point(rng: np.random.Generator) -> float:
    """Where on a shuffled queue a claim begins: uniform in [0, 1), so that many raters do not meet at one row."""
    return float(rng.random())


def draw(rng: np.random.Generator) -> Draw:
    """The lots of one assignment, always drawn in this order: its purpose, where the claim begins, which side first."""
    return Draw(float(rng.random()), start_point(rng), ORDERS[int(rng.integers(2))])


def purpose(form: Hidden, lot: float) -> Purpose:
    """What an assignment is for, so that each share comes out as the form asks; what cannot be had becomes work."""
    if lot < form.gold_rate:
        return "gold"
    return "repeat" if lot < form.gold_rate + form.repeat_rate else "work"


def speaks(language: str, languages: Sequence[str]) -> bool:
    """Whether somebody of these languages (none named: any) may judge a text in this one ("": it needs none).

    A tag covers what refines it, and the reverse: `de` and `de-AT` go together, `zh-Hans` and `zh-Hant` do not.
    """
    wanted = f"{language.lower()}-"
    known = [f"{tag.lower()}-" for tag in languages]
    return not language or not known or any(wanted.startswith(tag) or tag.startswith(wanted) for tag in known)


def may_enter(lane: Place, *, skills: Sequence[str], languages: Sequence[str]) -> bool:
    """Whether a rater has every skill that a lane needs, and its language. Letter case does not matter."""
    has = {skill.casefold() for skill in skills}
    return all(skill.casefold() in has for skill in lane.skills) and speaks(lane.language, languages)


def turns(lanes: Sequence[Place], ordering: str, rng: np.random.Generator) -> list[list[int]]:
    """Groups of lanes in the order in which a claim tries them; within a group the nearest comparison is taken.

    Mixed: a group for each stratum, in an order by lot, so that every stratum comes equally often however large it is.
    Else one group: by chance, where the nearest to a random point falls to a lane in proportion to what it has left;
    or in the order of import.
    """
    if ordering != "mixed":
        return [[lane.number for lane in lanes]]
    strata: dict[str, list[int]] = {}
    for lane in lanes:
        strata.setdefault(lane.stratum, []).append(lane.number)
    groups = [strata[stratum] for stratum in sorted(strata)]
    return [groups[int(i)] for i in rng.permutation(len(groups))]


def reached(count: int, quota: int) -> bool:
    """Whether a quota is full; one of 0 has no end."""
    return quota > 0 and count >= quota


def wants_more(sides: Sequence[int | None], *, overlap: int, most: int | None) -> Literal["nobody", "one", "expert"]:
    """Whom a comparison still needs when all its seats are answered; None among the sides is "both bad", without one.

    People agree where the leading answer has two thirds of them. Where they do not, one more is asked, up to `most`;
    then an expert decides. Without `most` nobody is asked: what it amounts to is for the consensus to say.
    """
    if most is None or not sides:
        return "nobody"
    leading = Counter(sides).most_common(1)[0][1]
    if leading / len(sides) >= AGREED - 1e-9:
        return "nobody"
    return "one" if overlap < most else "expert"


def screen_values(levels: int, *, allow_tie: bool) -> list[int]:
    """What can be answered, from left much better (`-levels`) to right much better (`levels`)."""
    if not 1 <= levels <= 3:
        raise ValueError("levels", "1, 2 or 3", levels)
    return [value for value in range(-levels, levels + 1) if value or allow_tie]


def to_identity(screen_value: int, order: str) -> int:
    """The preference (below 0 favours a) that a screen answer (below 0: left is better) means in this order."""
    if order not in ORDERS:
        raise ValueError("order", "ab or ba", order)
    return screen_value if order == "ab" else -screen_value


def to_screen(preference: int, order: str) -> int:
    """The screen answer that stands for a preference: the inverse of `to_identity`, which is its own inverse."""
    return to_identity(preference, order)


def sides(a: T, b: T, order: str) -> tuple[T, T]:
    """What stands left and what stands right in this order."""
    if order not in ORDERS:
        raise ValueError("order", "ab or ba", order)
    return (a, b) if order == "ab" else (b, a)


def lots(project: int, rater: int, number: int) -> np.random.Generator:
    """The generator of a rater's `number`-th assignment: the same three numbers draw the same lots, on any machine."""
    return np.random.default_rng([project, rater, number])


def due(form: EntryRules, *, practised: bool, qualified: bool) -> Literal["practice", "qualification"] | None:
    """What a rater has to pass through before real work; None: nothing. Practice comes first."""
    if form.practice_size and not practised and not qualified:
        return "practice"
    if form.qualification_size and not qualified:
        return "qualification"
    return None


LEAST_MEASURED: Final = 10  # answers to hidden gold, before anything is concluded from them
LOOKED_AT: Final = 0.995  # the interval of a share that is looked at again after each answer: see `surely_below`


def trial_orders(size: int, rng: np.random.Generator) -> list[Order]:
    """Which side a stands on in each of `size` trials: half of them each, so that one side alone passes nothing."""
    return [ORDERS[int(i) % 2] for i in rng.permutation(size)]


def right(preference: int | None, gold: int) -> bool:
    """Whether an answer names the known side, a tie being one; how strongly does not count, and no side is wrong."""
    return preference is not None and (preference > 0) - (preference < 0) == (gold > 0) - (gold < 0)


def passes(right: int, size: int, pass_mark: float) -> bool:
    """Whether a qualification of `size` trials is passed with so many right; one of no trials is not."""
    if not 0 <= right <= size:
        raise ValueError("right", f"a count from 0 to size={size}", right)
    return size > 0 and right / size >= pass_mark - 1e-9


def surely_below(right: int, n: int, line: float) -> bool:
    """Whether somebody who got `right` of their last `n` hidden gold is below the line beyond reasonable doubt.

    They are looked at after every answer, and an interval of 95 % that is looked at a hundred times excludes the truth
    once for more than a fifth of all. With 99.5 % at each look, fewer than 5 % of those who stand exactly at the line
    are ever paused within a hundred; of those who stand 0.1 above it, one in a thousand (both simulated in the tests).
    """
    if n < LEAST_MEASURED:
        return False
    high = wilson(right, n, confidence=LOOKED_AT).high
    return high is not None and high < line
