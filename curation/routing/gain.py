"""What a reward model gains from people here rather than there, learned from mixes of labels (Hybrid Preferences).

Miranda et al. 2025, "Hybrid Preferences: Learning to Route Instances for Human vs. AI Feedback" (ACL 2025). Every
comparison carries tags, its features cut in bins. Candidate mixes of human and judge labels are drawn tag by tag
(Algorithm 1), a proxy reward model is trained on each, and its performance is regressed on how many comparisons with
each tag went to people: a quadratic with a ridge. From it comes the gain of sending one comparison more.

Two things differ from the published code on purpose: bins are cut once, on the whole pool, not again in every mix; and
the model says how well it predicts mixes that it has not seen, and refuses to route when it cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from curation.routing.features import FEATURES, Feature, Features
from curation.stats.votes import FloatArray, IntArray

LEAST_RHO: Final = 0.3
LEAST_COMPARISONS: Final = 50
_RIDGES: Final = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
_LEVELS: Final = ("low", "middle", "high")
Mask = npt.NDArray[np.bool_]
Mode = Literal["top-k", "simulate"]


class Tag(NamedTuple):
    """Comparisons whose feature is above ``low`` and at most ``high``."""

    feature: str
    label: str
    low: float | None
    high: float | None


def tags(pool: Features) -> tuple[Tag, ...]:
    """The tags of a pool: thirds of every number, the values of every flag and category.

    Computed once, on the whole pool. What all or none of the pool has tells nothing and is left out; sided features
    too, since which completion is called a is chance.
    """
    found = [tag for feature in FEATURES if feature.name in pool.names for tag in _tags(feature, pool)]
    had = members(pool, found).sum(axis=0)
    return tuple(tag for tag, n in zip(found, had, strict=True) if 0 < n < len(pool.ids))


def _tags(feature: Feature, pool: Features) -> list[Tag]:
    column = pool.column(feature.name)
    known = column[np.isfinite(column)]
    if feature.kind == "sided" or not known.size:
        return []
    if feature.kind == "number":
        cuts = [float(c) for c in np.unique(np.quantile(known, [1 / 3, 2 / 3])) if c < known.max()]
        levels = _LEVELS if len(cuts) == 2 else ("low", "high")
        lows, highs = [None, *cuts], [*cuts, None]
        return [Tag(feature.name, *tag) for tag in zip(levels[: len(lows)], lows, highs, strict=True)]
    values = feature.values or ("no", "yes")
    return [Tag(feature.name, value, i - 0.5, i + 0.5) for i, value in enumerate(values)]


def members(features: Features, tags: Sequence[Tag]) -> Mask:
    """[N, T] which comparisons have which tags; a feature that is absent gives none."""
    table = np.zeros((len(features.ids), len(tags)), dtype=np.bool_)
    for t, tag in enumerate(tags):
        column = features.column(tag.feature)
        table[:, t] = (column > (-np.inf if tag.low is None else tag.low)) & (
            column <= (np.inf if tag.high is None else tag.high)
        )
    return table


def mix(members: Mask, budget: int, rng: np.random.Generator) -> Mask:
    """[N] one candidate of Algorithm 1: comparisons for people, whole tags at a time in random order, up to a budget.

    Comparisons of a tag come in random order, those without any tag last.
    """
    n, n_tags = members.shape
    order = rng.permutation(n)
    turns = members[:, rng.permutation(n_tags)]
    rank = np.where(turns.any(axis=1), turns.argmax(axis=1), n_tags)  # the first of its tags to have its turn
    chosen = np.zeros(n, dtype=np.bool_)
    chosen[order[np.argsort(rank[order], kind="stable")][:budget]] = True
    return chosen


def mixes(members: Mask, n: int, rng: np.random.Generator) -> Mask:
    """[n, N] candidates at budgets drawn evenly from 1 to N - 1; the first two are all judge and all people."""
    size = len(members)
    drawn = [mix(members, int(rng.integers(1, max(2, size))), rng) for _ in range(n - 2)]
    return np.array([np.zeros(size, np.bool_), np.ones(size, np.bool_), *drawn])


@dataclass(frozen=True)
class GainModel:
    """A performance-prediction model: performance = constant + u·linear + u·quadratic·u, u = (v - centre) / scale.

    v [T] is, for each tag, the number of comparisons for people over that of all. Equal by its JSON.
    """

    tags: tuple[Tag, ...]
    centre: FloatArray
    scale: FloatArray
    constant: float
    linear: FloatArray
    quadratic: FloatArray
    n: int
    """Comparisons it was fitted on."""
    n_mixes: int
    ridge: float
    """Chosen by cross-validation."""
    rho: float | None
    """Spearman correlation of predicted and measured performance on mixes that it had not seen."""
    rho_bands: tuple[float | None, ...]
    """The same within thirds of the human share: what is left when the budget alone explains nothing."""
    rmse: float | None
    mode: Mode = "top-k"
    """Which of the two ways of choosing did better where it was tried, at half of the budget."""
    tried: Mapping[str, float] = field(default_factory=dict)
    """The performance of each way there, with that of a random half for comparison."""
    reason: str = ""
    """Why it must not be used; empty: it may."""

    def predict(self, v: FloatArray) -> FloatArray:
        """[m] performance of mixes described by v [m, T]."""
        u = (v - self.centre) / self.scale
        found: FloatArray = self.constant + u @ self.linear + ((u @ self.quadratic) * u).sum(axis=1)
        return found

    def gains(self, members: Mask) -> FloatArray:
        """[m] of sending each comparison, with its tags [m, T], alone to people: its performance minus all judges'."""
        at_zero = -self.centre / self.scale
        slope = self.linear + 2 * self.quadratic @ at_zero
        step = members / (self.n * self.scale)
        found: FloatArray = step @ slope + ((step @ self.quadratic) * step).sum(axis=1)
        return found

    def tag_gains(self) -> FloatArray:
        """[T] of a comparison that has one tag alone."""
        return self.gains(np.eye(len(self.tags), dtype=np.bool_))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        told = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in asdict(self).items()}
        return told | {"tags": [list(tag) for tag in self.tags], "rho_bands": list(self.rho_bands)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """What `to_json` gave. ValueError names what is missing."""
        names = {f.name for f in fields(cls)}
        if told.keys() != names:
            raise ValueError("gain_model", f"the keys {', '.join(sorted(names))}", ", ".join(sorted(told)))
        arrays = {key: np.array(told[key], dtype=np.float64) for key in ("centre", "scale", "linear", "quadratic")}
        plain = {"tags": tuple(Tag(*tag) for tag in told["tags"]), "rho_bands": tuple(told["rho_bands"])}
        return cls(**{**told, **arrays, **plain})


def fit(
    features: Features,
    performance: Callable[[Mask], float],
    *,
    rng: np.random.Generator,
    pool: Features | None = None,
    n_mixes: int = 200,
    least_rho: float = LEAST_RHO,
) -> GainModel:
    """Learn from comparisons that have both labels: N features, and the performance of any mask [N] of them.

    ``performance`` is called for each of ``n_mixes`` candidates (`proxy.performance` makes such a function). Bins are
    cut on ``pool``, by default the features themselves. A model that cannot predict unseen mixes comes back with its
    ``reason``, never silently.
    """
    if n_mixes < 20:
        raise ValueError("n_mixes", "20 or more", n_mixes)
    cut = tags(features if pool is None else pool)
    has = members(features, cut)
    if len(has) < LEAST_COMPARISONS or not cut:
        return _untrained(cut, len(has))
    masks = mixes(has, n_mixes, rng)
    measured = np.array([performance(mask) for mask in masks])
    if not np.isfinite(measured).all():
        raise ValueError("performance", "a finite number for every mix", measured[~np.isfinite(measured)][0])
    v = masks @ has.astype(np.float64) / len(has)
    model = _regress(v, measured, masks.mean(axis=1), cut, len(has), rng, least_rho)
    return model if model.reason else _choose_mode(model, has, performance, rng)


def _untrained(cut: tuple[Tag, ...], n: int) -> GainModel:
    reason = f"{n} comparisons have both people's and judges' labels; it takes {LEAST_COMPARISONS} to learn a gain"
    if n >= LEAST_COMPARISONS:
        reason = "no feature tells these comparisons apart"
    zero = np.zeros(len(cut))
    return GainModel(
        cut, zero, np.ones(len(cut)), 0.0, zero, np.zeros((len(cut), len(cut))), max(n, 1), 0, 1.0, None, (), None,
        reason=reason,
    )  # fmt: skip


def _regress(
    v: FloatArray,
    measured: FloatArray,
    share: FloatArray,
    cut: tuple[Tag, ...],
    n: int,
    rng: np.random.Generator,
    least_rho: float,
) -> GainModel:
    """A quadratic ridge in its dual form: with the kernel (1 + u·u'/T)² its weights are sums over the mixes."""
    centre, scale = v.mean(axis=0), np.maximum(v.std(axis=0), 1e-12)
    u = (v - centre) / scale
    kernel = (1 + u @ u.T / len(cut)) ** 2
    ridge, unseen = _cross_validate(kernel, measured, rng)
    dual = _solve(kernel, measured - measured.mean(), ridge)
    rho = spearman(unseen, measured)
    reason = ""
    if rho is None:
        reason = "every mix of labels gives the same performance, so there is nothing to predict"
    elif rho < least_rho:
        reason = f"it does not predict mixes that it has not seen: Spearman's ρ {rho:.2f}, below {least_rho:g}"
    return GainModel(
        tags=cut,
        centre=centre,
        scale=scale,
        constant=float(measured.mean() + dual.sum()),
        linear=2 / len(cut) * dual @ u,
        quadratic=(u.T * dual) @ u / len(cut) ** 2,
        n=n,
        n_mixes=len(v),
        ridge=ridge,
        rho=rho,
        rho_bands=_bands(unseen, measured, share),
        rmse=float(np.sqrt(np.mean((unseen - measured) ** 2))),
        reason=reason,
    )


def _cross_validate(
    kernel: FloatArray, measured: FloatArray, rng: np.random.Generator, folds: int = 10
) -> tuple[float, FloatArray]:
    """The ridge with the least squared error on held-out mixes, and those predictions [m]."""
    fold = rng.permutation(len(measured)) % folds
    tried: list[tuple[float, float, FloatArray]] = []
    for ridge in _RIDGES:
        unseen = np.zeros(len(measured))
        for k in range(folds):
            train, held = fold != k, fold == k
            mean = float(measured[train].mean())
            dual = _solve(kernel[np.ix_(train, train)], measured[train] - mean, ridge)
            unseen[held] = mean + kernel[np.ix_(held, train)] @ dual
        tried.append((float(np.mean((unseen - measured) ** 2)), ridge, unseen))
    _, ridge, unseen = min(tried, key=lambda found: found[0])
    return ridge, unseen


def _solve(kernel: FloatArray, target: FloatArray, ridge: float) -> FloatArray:
    return np.asarray(np.linalg.solve(kernel + ridge * np.eye(len(kernel)), target), dtype=np.float64)


def _bands(predicted: FloatArray, measured: FloatArray, share: FloatArray) -> tuple[float | None, ...]:
    band = np.digitize(share, np.quantile(share, [1 / 3, 2 / 3]))
    return tuple(spearman(predicted[band == b], measured[band == b]) for b in range(3))


def spearman(a: FloatArray, b: FloatArray) -> float | None:
    """Rank correlation, equals sharing their mean rank; None where either does not vary."""
    left, right = _ranks(a), _ranks(b)
    if len(a) < 3 or left.std() == 0 or right.std() == 0:
        return None
    return float(np.corrcoef(left, right)[0, 1])


def _ranks(values: FloatArray) -> FloatArray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last: IntArray = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


def _choose_mode(
    model: GainModel, has: Mask, performance: Callable[[Mask], float], rng: np.random.Generator
) -> GainModel:
    """The way of choosing that does better with half of the comparisons for people, where it was fitted."""
    half = len(has) // 2
    by_gain = top_k(model, has, half, rng)
    drawn = simulated(model, has, half, rng)
    at_random = np.zeros(len(has), dtype=np.bool_)
    at_random[rng.permutation(len(has))[:half]] = True
    tried = {"top-k": performance(by_gain), "simulate": performance(drawn), "random": performance(at_random)}
    mode: Mode = "top-k" if tried["top-k"] >= tried["simulate"] else "simulate"
    values = {f.name: getattr(model, f.name) for f in fields(model)}
    return GainModel(**values | {"mode": mode, "tried": tried})


def top_k(model: GainModel, has: Mask, k: int, rng: np.random.Generator) -> Mask:
    """[N] the k comparisons with the greatest gain, equals at random."""
    chosen = np.zeros(len(has), dtype=np.bool_)
    chosen[np.lexsort((rng.random(len(has)), -model.gains(has)))[:k]] = True
    return chosen


def simulated(model: GainModel, has: Mask, k: int, rng: np.random.Generator, draws: int = 500) -> Mask:
    """[N] of so many candidates with k comparisons for people, the one with the best predicted performance.

    Fewer candidates where there are more than 100,000 comparisons, in proportion, to stay within seconds.
    """
    best, mask = -np.inf, np.zeros(len(has), dtype=np.bool_)
    weights = has.astype(np.float64) / max(1, len(has))
    for _ in range(max(20, min(draws, draws * 100_000 // max(1, len(has))))):
        candidate = mix(has, k, rng)
        predicted = float(model.predict((candidate @ weights)[None])[0])
        if predicted > best:
            best, mask = predicted, candidate
    return mask


def best_mix(model: GainModel, has: Mask, rng: np.random.Generator, draws: int = 500) -> Mask:
    """[N] of so many candidates at every budget, none and all included, the one with the best predicted performance.

    What the model would do if people cost no more than judges: its share of people is the one to aim at.
    """
    weights = has.astype(np.float64) / max(1, len(has))
    candidates = mixes(has, draws, rng)
    best: Mask = candidates[int(np.argmax(model.predict(candidates @ weights)))]
    return best


def why(model: GainModel, has: Mask, tag_gains: FloatArray, most: int = 2) -> list[str]:
    """For each comparison the tags that speak most for people, in words."""
    order = [int(t) for t in np.argsort(-tag_gains) if tag_gains[t] > 0]
    told = []
    for row in has:
        names = [f"{model.tags[t].feature} {model.tags[t].label}" for t in order if row[t]][:most]
        told.append(", ".join(names) or "no tag speaks for it, the others less")
    return told
