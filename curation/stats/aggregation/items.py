"""Scores of items from comparisons by fallible raters: what Bradley-Terry and CrowdBT share.

The model. Item i has a score s[i] ~ N(0, 1/penalty). What is true of comparison c lies in a draw from Davidson's
extension of Bradley and Terry to ties (1970, J. Am. Stat. Assoc. 65), with d = s[a] - s[b]:

    P(a) : P(tie) : P(b) = exp(d/2) : exp(tie) : exp(-d/2)

and the votes on c reach us through the channel of each rater, P(said | true), which the two methods give differently.
With one vote for each comparison these are the models of their papers to the letter: the sum over what is true is
their mixture. With several votes the draw is shared, so that what is particular to two texts beyond their scores is
learnt from their own votes, instead of five votes against the order of the scores being five odd tosses. (Tried on the
real votes of UKP: both hit the gold equally often, give or take .01, and this one in a third of the iterations.)
Davidson's ties, not Rao and Kupper's, since these are linear in the logarithm: where the truth is known the search is
concave, and without ties it is Bradley-Terry.

The normal prior keeps the scores of undefeated items finite, and those of parts of the graph that no comparison
connects apart: each part has the mean 0, and a score says nothing against another part's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple, Protocol

import numpy as np

from curation.stats.aggregation.contract import (
    TINY,
    Aggregate,
    Fit,
    assemble,
    check_iteration,
    normalised,
    shares_of,
    sums,
)
from curation.stats.aggregation.counting import plurality
from curation.stats.optimise import Maximum, maximise
from curation.stats.votes import TIE, A, B, BoolArray, FloatArray, IntArray, K, Pairs, Votes

PENALTY: Final = 0.1
"""1/variance of the scores: two of three lie within ±3.2. Of .01 to .8, held-out votes of UKP, where an item stands in
32 comparisons, like .03 a little better, and those of llmfao, where it stands in 6, like .2."""
LEAN: Final = 4.0
"""Pseudo-votes in each row of a judge's confusion matrix that say what the panel of judges says."""


class Channel(Protocol):
    """How raters say something else than what is true, as m parameters without bounds and a table of cells."""

    start: FloatArray
    """[m]"""
    curvature: FloatArray
    """[m] about how strongly the likelihood bends along each."""
    cell: IntArray
    """[n] the cell of each vote: its rater, what was said, and whatever else the channel looks at."""

    def table(self, at: FloatArray) -> FloatArray:
        """[K, cells] probability of what was said in the cell, for each truth."""

    def slope(self, at: FloatArray, table: FloatArray, counts: FloatArray) -> FloatArray:
        """[m] gradient of Σ counts · log table, ``counts`` [K, cells] being the expected votes."""

    def prior(self, at: FloatArray) -> tuple[float, FloatArray]:
        """Logarithm of the prior of the parameters, and its gradient."""

    def confusion(self, at: FloatArray) -> FloatArray:
        """[R, K, K] the table for a vote of which only the rater is known."""


class State(NamedTuple):
    """What the parameters say of the comparisons."""

    before: FloatArray
    """[K, C] from the scores alone."""
    after: FloatArray
    """[K, C] with the votes."""
    log_likelihood: float
    table: FloatArray


def davidson(difference: FloatArray, tie: float) -> FloatArray:
    """[K, C] probabilities of a, tie and b at differences [C] of scores; ``tie`` is the logarithm of the tie weight."""
    logs = np.stack([difference / 2, np.full_like(difference, tie), -difference / 2], axis=1)
    return np.ascontiguousarray(normalised(logs)[0].T)


class ItemModel:
    """Votes, pairs and a channel as one objective over the parameters [scores, tie, channel's]."""

    def __init__(self, votes: Votes, pairs: Pairs, channel: Channel, penalty: float) -> None:
        if not penalty > 0:
            raise ValueError("penalty", "a number above 0", penalty)
        self.votes, self.pairs, self.channel, self.penalty = votes, pairs, channel, penalty
        self.judged = np.bincount(votes.comparison, minlength=len(votes.comparisons)) > 0

    def fit(self, *, max_iter: int, tol: float) -> Maximum:
        judged = self.judged.astype(np.float64)
        ties = tie_share(self.votes)
        start = np.concatenate([np.zeros(self.pairs.n), [np.log(2 * ties / (1 - ties))], self.channel.start])
        bend = (judged.sum() + 1) * ties * (1 - ties)
        curvature = np.concatenate([self._by_item(judged, judged) / 4 + self.penalty, [bend], self.channel.curvature])
        return maximise(self.objective, start, curvature=curvature, max_iter=max_iter, tol=tol)

    def split(self, at: FloatArray) -> tuple[FloatArray, float, FloatArray]:
        n = self.pairs.n
        return at[:n], float(at[n]), at[n + 1 :]

    def state(self, at: FloatArray) -> State:
        scores, tie, rest = self.split(at)
        before = davidson(scores[self.pairs.a] - scores[self.pairs.b], tie)
        table = self.channel.table(rest)
        joint = np.log(np.maximum(before, TINY))
        for k, logs in enumerate(np.log(np.maximum(table, TINY))):
            joint[k] += sums(self.votes.comparison, logs.take(self.channel.cell) * self.votes.weight, joint.shape[1])
        after, totals = normalised(joint.T)
        return State(before, np.ascontiguousarray(after.T), float(totals.sum()), table)

    def objective(self, at: FloatArray) -> tuple[float, FloatArray]:
        """The penalised log-likelihood and its gradient, by Fisher's identity: that of the completed data, expected."""
        scores, tie, rest = self.split(at)
        state = self.state(at)
        pull = state.after - state.before
        towards_a = (pull[A] - pull[B]) / 2
        equal = float(davidson(np.zeros(1), tie)[TIE, 0])  # one pseudo-comparison of equal items and no known class
        prior, prior_slope = self.channel.prior(rest)
        value = state.log_likelihood + prior - self.penalty / 2 * float(scores @ scores)
        value += (np.log(max(equal, TINY)) + 2 * np.log(max((1 - equal) / 2, TINY))) / K
        slope = np.concatenate(
            [
                self._by_item(towards_a, -towards_a) - self.penalty * scores,
                [pull[TIE].sum() + 1 / K - equal],
                self.channel.slope(rest, state.table, self._counts(state)) + prior_slope,
            ]
        )
        return value, slope

    def _counts(self, state: State) -> FloatArray:
        votes, cells = self.votes, state.table.shape[1]
        return np.stack(
            [sums(self.channel.cell, after.take(votes.comparison) * votes.weight, cells) for after in state.after]
        )

    def _by_item(self, of_a: FloatArray, of_b: FloatArray) -> FloatArray:
        """[items] sums of what comparisons [C] give to their a and to their b."""
        return sums(self.pairs.a, of_a, self.pairs.n) + sums(self.pairs.b, of_b, self.pairs.n)

    def base(self, at: FloatArray) -> FloatArray:
        """[C, K] what the OTHER comparisons of its two items say of each one, before its own votes.

        Scores have seen the comparison's own votes; one Newton step takes them back, with the neighbours' scores held:
        exact for two items that stand in no other comparison. What is left unknown of the difference, v, moves the
        probabilities towards equal (MacKay 1992, Neural Computation 4(5)).
        """
        scores, tie, _ = self.split(at)
        state = self.state(at)
        pull = (state.after[A] - state.before[A] - state.after[B] + state.before[B]) / 2
        known: FloatArray = np.maximum(_spread(state.before) - _spread(state.after), 0.0)
        total = self._by_item(known, known) + self.penalty
        unknown = 1 / np.maximum(total[self.pairs.a] - known, self.penalty)
        unknown += 1 / np.maximum(total[self.pairs.b] - known, self.penalty)
        others = scores[self.pairs.a] - scores[self.pairs.b] - pull * unknown
        return np.ascontiguousarray(davidson(others / np.sqrt(1 + np.pi / 8 * unknown), tie).T)


def _spread(chances: FloatArray) -> FloatArray:
    """[C] variance of ±1/2 (a, b) and 0 (tie) under [K, C]."""
    decided, lead = chances[A] + chances[B], chances[A] - chances[B]
    variance: FloatArray = (decided - lead**2) / 4
    return variance


def as_one_rater(votes: Votes, is_judge: BoolArray | None) -> Votes:
    """The votes with one rater more, the panel of judges, who says what most judges say and nothing where none is most.

    Judges err together, and the more of them the surer they seem: of two judges with one bias beside two people, each
    taken for a rater of its own, .47 of the simulated consensus was right, with the panel .92. As a single rater they
    weigh as much as they are right, however many they are. A judge alone is a rater like any other.
    """
    judge = np.zeros(len(votes.raters), dtype=bool) if is_judge is None else np.asarray(is_judge, dtype=bool)
    if judge.shape != (len(votes.raters),):
        raise ValueError("is_judge", f"an array of shape {(len(votes.raters),)}", judge.shape)
    of_judge = judge[votes.rater]
    if len(np.unique(votes.rater[of_judge])) < 2:
        return votes
    most = plurality(votes.select(of_judge))
    said, people = np.flatnonzero(most >= 0), votes.select(~of_judge)
    one = np.ones(len(said))
    return replace(
        people,
        comparison=np.concatenate([people.comparison, said]),
        rater=np.concatenate([people.rater, np.full(len(said), len(judge))]),
        value=np.concatenate([people.value, most[said]]),
        strength=np.concatenate([people.strength, most[said] - 1.0]),
        weight=np.concatenate([people.weight, one]),
        a_first=np.concatenate([people.a_first, np.full(len(said), -1, dtype=np.int8)]),
        raters=(*votes.raters, None),
    )


def aggregate_items(
    votes: Votes, pairs: Pairs, channel: Channel, counted: Votes, *, max_iter: int, tol: float, penalty: float
) -> tuple[Aggregate, FloatArray]:
    """The consensus under a channel, fitted on the ``counted`` votes, and the channel's parameters."""
    check_iteration(max_iter, tol)
    model = ItemModel(counted, pairs, channel, penalty)
    found = model.fit(max_iter=max_iter, tol=tol)
    scores, _, rest = model.split(found.at)
    base = model.base(found.at)
    table, joint = np.log(np.maximum(channel.table(rest), TINY)), np.log(base)
    for k in range(K):
        joint[:, k] += sums(counted.comparison, table[k].take(channel.cell) * counted.weight, len(joint))
    posterior = normalised(joint)[0]
    prior = posterior.mean(axis=0) if len(posterior) else np.full(K, 1 / K)
    confusion = channel.confusion(rest)
    if counted is not votes:
        confusion = _with_judges(votes, confusion, counted, posterior)
    likelihood = model.state(found.at).log_likelihood
    fit = Fit(prior, confusion, likelihood, max(found.n_iter, 1), found.converged)
    result = assemble(votes, posterior, fit, n_shared=_checked(votes, pairs))
    return result._replace(scores=scores, base=base), rest


def _with_judges(votes: Votes, confusion: FloatArray, counted: Votes, posterior: FloatArray) -> FloatArray:
    """[R, K, K] with what each judge says beside the consensus, leaning on the panel's matrix, which is the last."""
    raters = len(votes.raters)
    cells = votes.rater * K + votes.value
    said = np.stack([sums(cells, posterior[votes.comparison, k] * votes.weight, raters * K) for k in range(K)])
    measured = shares_of(said.reshape(K, raters, K).transpose(1, 0, 2) + LEAN * confusion[-1])
    in_panel = np.isin(np.arange(raters), votes.rater) & ~np.isin(np.arange(raters), counted.rater)
    return np.where(in_panel[:, None, None], measured, confusion[:-1])


def _checked(votes: Votes, pairs: Pairs) -> FloatArray:
    """[R] weight of the votes that another rater's can be held against: on the comparison, or on one of its items."""
    on_each = np.bincount(votes.comparison, minlength=len(votes.comparisons))
    alone, judged = on_each < 2, (on_each > 0).astype(np.float64)
    of_item = sums(pairs.a, judged, pairs.n) + sums(pairs.b, judged, pairs.n)
    alone &= (of_item[pairs.a] < 2) & (of_item[pairs.b] < 2)
    weight = votes.weight * ~alone[votes.comparison]
    return sums(votes.rater, weight, len(votes.raters))


def tie_share(votes: Votes) -> float:
    """The share of ties in what is said, with one vote for no class."""
    return (float(votes.weight[votes.value == TIE].sum()) + 1 / K) / (float(votes.weight.sum()) + 1)


def logistic(x: FloatArray) -> FloatArray:
    """1 / (1 + exp(-x)), without overflow."""
    chances: FloatArray = np.exp(-np.logaddexp(0.0, -x))
    return chances


def beta_prior(chance: FloatArray, yes: FloatArray | float, no: FloatArray | float) -> tuple[float, FloatArray]:
    """Σ yes · log(chance) + no · log(1 - chance), and the gradient in the log-odds of each chance."""
    value = yes * np.log(np.maximum(chance, TINY)) + no * np.log(np.maximum(1 - chance, TINY))
    return float(np.sum(value)), yes * (1 - chance) - no * chance
