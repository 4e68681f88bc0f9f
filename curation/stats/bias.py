"""Whether a rater's answers follow the screen, the length, the layout or the author instead of the content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.stats.intervals import wilson_bounds
from curation.stats.votes import TIE, A, B, FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]
LEAST: Final = 30  # judgements beside others, before a mean difference or a slope is given an interval
PRIOR: Final = 2.5  # standard deviation of a slope before data: one that always follows stays finite
STEPS: Final = 50
TOLERANCE: Final = 1e-8

FORMAT: Final = r"^ {0,3}(?:[-*+]|[0-9]{1,3}[.)]) |^#{1,6} |^ {0,3}```|\*\*[^*\n]+\*\*|__[^_\n]+__|`[^`\n]+`"
"""A mark of layout: an item of a list, a heading, a fence, bold, code in a line. The database counts by it too."""
_FORMAT: Final = re.compile(FORMAT, re.MULTILINE)

FAMILIES: Final[Mapping[str, str]] = {
    "gpt": "openai", "chatgpt": "openai", "o1": "openai", "o3": "openai", "o4": "openai", "text-davinci": "openai",
    "davinci": "openai", "claude": "anthropic", "gemini": "google", "gemma": "google", "palm": "google",
    "bard": "google", "flan": "google", "llama": "meta", "codellama": "meta", "vicuna": "meta", "alpaca": "meta",
    "tulu": "meta", "qwen": "alibaba", "qwq": "alibaba", "mistral": "mistral", "mixtral": "mistral",
    "ministral": "mistral", "codestral": "mistral", "magistral": "mistral", "deepseek": "deepseek",
    "command": "cohere", "aya": "cohere", "phi": "microsoft", "grok": "xai", "falcon": "tii", "glm": "zhipu",
    "chatglm": "zhipu", "yi": "01", "nova": "amazon", "titan": "amazon", "kimi": "moonshot",
}  # fmt: skip
"""Beginnings of model names and whose they are; models tuned from another's weights count as that one's."""
_NAME: Final = re.compile(r"[a-z]+(?:-[a-z]+)*|[a-z0-9]+")


class SideBias(NamedTuple):
    """[R] each: how often a rater chose the completion shown first (left), among decided judgements."""

    share: FloatArray
    """nan where the rater decided nothing."""
    low: FloatArray
    high: FloatArray
    n: IntArray
    """Decided judgements."""


def side_bias(
    rater: IntArray, value: IntArray, a_first: npt.NDArray[np.bool_], *, n_raters: int, confidence: float = 0.95
) -> SideBias:
    """Side bias of raters coded 0..n_raters-1 from values A, TIE, B and whether a was shown first, arrays of [n].

    With sides shown at random an unbiased rater has a share near one half; the interval is Wilson's.
    """
    rater, value, a_first = np.asarray(rater), np.asarray(value), np.asarray(a_first, dtype=bool)
    if not rater.shape == value.shape == a_first.shape:
        raise ValueError("a_first", f"an array of shape {rater.shape}", a_first.shape)
    decided = value != TIE
    first = ((value == A) == a_first)[decided]
    n = np.bincount(rater[decided], minlength=n_raters)
    chosen = np.bincount(rater[decided], first, n_raters)
    share = np.where(n > 0, chosen / np.maximum(n, 1), np.nan)
    low, high = wilson_bounds(share, n.astype(np.float64), confidence=confidence)
    return SideBias(share, low, high, n)


class Leaning(NamedTuple):
    """[R] each: how far a rater leans towards the response that has more of something; nan where it is not known."""

    share: FloatArray
    """Of decided judgements on two that differ in it: how often the rater chose the one that has more."""
    low: FloatArray
    high: FloatArray
    n: IntArray
    excess: FloatArray
    """Mean of: chose it, less the share of the others who chose it on the same comparison."""
    excess_low: FloatArray
    excess_high: FloatArray
    n_beside: IntArray
    """Judgements that others decided as well: what excess and slope rest on."""
    slope: FloatArray
    """Log-odds of choosing it for one standard deviation more of it, where the others are of two minds."""
    slope_low: FloatArray
    slope_high: FloatArray
    converged: BoolArray


class _Choices(NamedTuple):
    """Decided judgements on two that differ, arrays of [m]."""

    rater: IntArray
    more: FloatArray
    """By how much b has more, in standard deviations."""
    chose_b: FloatArray
    share_b: FloatArray
    """Of the others' decided judgements on the comparison; nan where there are none."""

    @property
    def chose_more(self) -> FloatArray:
        return np.where(self.more > 0, self.chose_b, 1 - self.chose_b)

    @property
    def others_more(self) -> FloatArray:
        return np.where(self.more > 0, self.share_b, 1 - self.share_b)


def leaning(
    rater: IntArray,
    comparison: IntArray,
    value: IntArray,
    more: FloatArray,
    reference: BoolArray,
    *,
    n_raters: int,
    confidence: float = 0.95,
) -> Leaning:
    """How raters 0..n_raters-1 lean towards the response with more of something, from judgements as arrays of [n].

    ``value`` is A, TIE or B; ``more`` above 0 says that b has more of it (characters, layout, being shown first, being
    of the rater's own family), below 0 that a has, 0 or nan that neither is known to. ``reference`` marks the
    judgements that make the consensus, of which a rater's own is taken out. The share has Wilson's interval. The
    excess is beside those others, so that a lean which the content deserves is none; where all lean alike it shows
    nothing, but the share does. The slope is that of a logistic regression on ``more`` and on the others' mean, with a
    normal prior of standard deviation PRIOR on both (as in Gelman et al. 2008, Annals of Applied Statistics 2(4),
    which has a Cauchy), fitted by Newton's method; its interval is from the curvature at the optimum.
    """
    if not np.shape(rater) == np.shape(comparison) == np.shape(value) == np.shape(more) == np.shape(reference):
        raise ValueError("more", f"arrays of shape {np.shape(rater)}", np.shape(more))
    choices = _choices(rater, comparison, np.asarray(value), np.asarray(more, np.float64), np.asarray(reference))
    n = np.bincount(choices.rater, minlength=n_raters)
    with np.errstate(invalid="ignore"):
        share = np.bincount(choices.rater, choices.chose_more, n_raters) / n
    low, high = wilson_bounds(share, n.astype(np.float64), confidence=confidence)
    known = ~np.isnan(choices.share_b)
    beside = _Choices(choices.rater[known], choices.more[known], choices.chose_b[known], choices.share_b[known])
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    n_beside = np.bincount(beside.rater, minlength=n_raters)
    excess, half = _mean(beside.rater, beside.chose_more - beside.others_more, n_raters)
    slope, deviation, converged = _slopes(beside, n_raters)
    slope, deviation = (np.where(n_beside >= LEAST, column, np.nan) for column in (slope, deviation))
    return Leaning(
        share, low, high, n,
        excess, np.maximum(excess - z * half, -1), np.minimum(excess + z * half, 1), n_beside,
        slope, slope - z * deviation, slope + z * deviation, converged,
    )  # fmt: skip


def _choices(
    rater: IntArray, comparison: IntArray, value: IntArray, more: FloatArray, reference: BoolArray
) -> _Choices:
    counted = reference & (value != TIE)
    size = int(np.max(comparison, initial=-1)) + 1
    for_a = np.bincount(comparison[counted & (value == A)], minlength=size)
    for_b = np.bincount(comparison[counted & (value == B)], minlength=size)
    kept = (value != TIE) & np.isfinite(more) & (more != 0)
    where, own = comparison[kept], counted[kept]
    others_a = for_a[where] - (own & (value[kept] == A))
    others_b = for_b[where] - (own & (value[kept] == B))
    with np.errstate(invalid="ignore"):
        share_b = others_b / (others_a + others_b)
    scale = float(np.sqrt(np.mean(more[kept] ** 2))) if kept.any() else 1.0
    return _Choices(np.asarray(rater)[kept], more[kept] / scale, (value[kept] == B) * 1.0, share_b)


def _mean(rater: IntArray, found: FloatArray, n_raters: int) -> tuple[FloatArray, FloatArray]:
    """[R] means and their standard errors; nan below LEAST."""
    n = np.bincount(rater, minlength=n_raters)
    few = n < LEAST
    mean = np.bincount(rater, found, n_raters) / np.maximum(n, 1)
    squares = np.bincount(rater, (found - mean[rater]) ** 2, n_raters)
    error = np.sqrt(squares / np.maximum(n - 1, 1) / np.maximum(n, 1))
    return np.where(few, np.nan, mean), np.where(few, np.nan, error)


def _slopes(choices: _Choices, n_raters: int) -> tuple[FloatArray, FloatArray, BoolArray]:
    """[R] slopes on `more` with their standard deviations, all raters at once: two coefficients each."""
    x, s = choices.more, 2 * choices.share_b - 1
    beta, gamma = np.zeros(n_raters), np.zeros(n_raters)
    converged = np.zeros(n_raters, dtype=bool)
    for _ in range(STEPS):
        (up, across), (a, b, c) = _derivatives(choices, x, s, beta, gamma, n_raters)
        determinant = a * c - b * b
        step, side = (c * up - b * across) / determinant, (a * across - b * up) / determinant
        converged = np.hypot(step, side) < TOLERANCE
        if converged.all():
            break
        shorter = np.minimum(1.0, 2.0 / np.maximum(np.hypot(step, side), TOLERANCE))  # far from the optimum it jumps
        beta, gamma = beta + shorter * step, gamma + shorter * side
    return beta, np.sqrt(c / determinant), converged


def _derivatives(
    choices: _Choices, x: FloatArray, s: FloatArray, beta: FloatArray, gamma: FloatArray, n_raters: int
) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray, FloatArray]]:
    """Gradient (2 × [R]) and negative curvature (a, b; b, c) of the log posterior of each rater's coefficients."""
    r = choices.rater
    p = 1 / (1 + np.exp(-(beta[r] * x + gamma[r] * s)))
    rest, spread = choices.chose_b - p, p * (1 - p)

    def total(weights: FloatArray) -> FloatArray:
        return np.bincount(r, weights, n_raters).astype(np.float64, copy=False)

    gradient = total(rest * x) - beta / PRIOR**2, total(rest * s) - gamma / PRIOR**2
    return gradient, (
        total(spread * x * x) + PRIOR**-2,
        total(spread * x * s),
        total(spread * s * s) + PRIOR**-2,
    )


def formatting(text: str) -> int:
    """Marks of layout in a text: items of lists, headings, bold, code."""
    return len(_FORMAT.findall(text))


@lru_cache(maxsize=4096)
def family(model: str) -> str:
    """Whose model it is, by the beginning of its name without the organisation; otherwise the name's first words.

    "openai/gpt-4o" and "o3-mini" are one family, and so are "heron-1" and "heron-2-large"; "" has none.
    """
    name = model.casefold().strip().rsplit("/", 1)[-1]
    known = [prefix for prefix in FAMILIES if re.match(rf"{re.escape(prefix)}(?![a-z])", name)]
    if known:
        return FAMILIES[max(known, key=len)]
    own = _NAME.match(name)
    return own.group().split("-")[0] if own else ""
