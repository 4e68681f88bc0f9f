"""What a recipe is applied to: a project's comparisons with their votes and the consensus that the recipe asks for.

Comparisons come in the order of their external ids, byte by byte, and raters are numbered by kind and name: nothing
depends on the database's own ids, so that the same judgements give the same figures anywhere. Votes are arrays; a
comparison's texts are read when it is its turn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from django.db import connection

from annotate.models import Adjudication, Rater
from annotate.services.pseudonyms import adjudicator_name, public_name
from curation.exports.candidates import Candidate, Decision, Treatment
from curation.exports.deidentify import Raters
from curation.exports.facts import RaterFacts
from curation.exports.recipe import Recipe
from curation.exports.schema import VoteRow
from curation.models import NoiseDecision, NoiseScore, RoutingDecision
from curation.stats import Estimate, Pairs, Votes
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid

from . import admitting, aggregating, loading
from .loading import Ints
from .vectors import vectors_of

FIRST: Final = 64  # comparisons that are read at once, until it is known how long they are
BATCH: Final = 2_000
BATCH_CHARS: Final = 1 << 26
IDS: Final = """
SELECT id::int8 FROM annotate_comparison WHERE project_id = %(project)s AND status <> 'withdrawn' {some}
ORDER BY external_id COLLATE "C"
"""
TEXTS: Final = """
SELECT c.id, c.external_id, p.messages::text, a.messages::text, b.messages::text, a.generator, b.generator, c."group",
       c.metadata::text, coalesce(l.language, '')
FROM annotate_comparison AS c JOIN annotate_prompt AS p ON p.id = c.prompt_id
JOIN annotate_completion AS a ON a.id = c.completion_a_id JOIN annotate_completion AS b ON b.id = c.completion_b_id
LEFT JOIN annotate_lane AS l ON l.project_id = c.project_id AND l.number = c.lane
WHERE c.id = ANY (%s)
"""
NOTHING: Final = (0.333333, 0.333334, 0.333333)  # a third each, that still sum to 1 when they are told


class Origin(NamedTuple):
    """What a candidate is in this database, as its row is to remember it."""

    comparison: int
    """Its id."""
    place: int
    """Among the comparisons of the material."""
    lineage: dict[str, Any]


class Material:
    """All comparisons of a project that are not withdrawn, or those of the given ids: n of them."""

    def __init__(self, project: Project, recipe: Recipe, *, ids: Sequence[int] | None = None) -> None:
        self.project, self.recipe = project, recipe
        self.order = _order(project, ids)
        raters = list(Rater.objects.filter(project=project).select_related("user"))
        self.raters = sorted(raters, key=lambda rater: (rater.kind, public_name(rater, project)))
        self.names = [public_name(rater, project) for rater in self.raters]
        muted = set(admitting.muted(project))
        self.muted = [n for n, rater in enumerate(self.raters) if rater.pk in muted]
        people = np.array([n for n, r in enumerate(self.raters) if r.kind == Rater.Kind.ANNOTATOR], dtype=np.int64)
        said = self._said(ids)
        self._people = said, people
        heard = ~np.isin(said.rater, self.muted)
        if not recipe.include_judges:
            heard &= np.isin(said.rater, people)
        self.heard = said.only(heard)
        """Judgements [m] that count and appear, by comparison and rater, both by their place here."""
        self.votes: Votes = self.heard.votes()
        # What was decided is about the preference overall, and so are treatments of doubt.
        self.decisions = {} if recipe.aspect else loading.decisions_of(project, ids)
        self._refuse_silence(said)
        is_judge = ~np.isin(np.array(self.votes.raters, dtype=np.int64), people)
        given = aggregating.Material(self.heard, self.votes, self._pairs(), is_judge, people, self.muted)
        self.fitted = aggregating.fit_by(recipe.method, given)
        self.posterior = np.full((len(self.order), 3), NOTHING)
        self.strength = np.zeros(len(self.order))
        voted = np.array(self.votes.comparisons, dtype=np.int64)
        self.posterior[voted] = self.fitted.fit.posterior
        self.strength[voted] = np.clip(self.fitted.fit.strength, -3, 3)

    @cached_property
    def agreement(self) -> Estimate:
        """Of people, over everything that they said."""
        said, people = self._people
        return aggregating.alpha_of(said.votes(people), seed=0)

    @property
    def silent(self) -> list[str]:
        """Judges of whose words no label was made, since gold refuses them."""
        return [self.names[n] for n in self.muted]

    def _said(self, ids: Sequence[int] | None) -> loading.Judgements:
        """Every current judgement, with comparison and rater by their place here."""
        judgements = loading.judgements_of(self.project, ids, aspect=self.recipe.aspect)
        sorted_ids = np.argsort(self.order)
        place = np.searchsorted(self.order[sorted_ids], judgements.comparison)
        known = place < len(self.order)
        known[known] = self.order[sorted_ids][place[known]] == judgements.comparison[known]  # none that came meanwhile
        judgements, place = judgements.only(known), sorted_ids[place[known]]
        raters = np.array([rater.pk for rater in self.raters], dtype=np.int64)
        by_id = np.argsort(raters)
        rater = by_id[np.searchsorted(raters[by_id], judgements.rater)] if len(raters) else judgements.rater
        order = np.lexsort((rater, place))  # stable: a rater's readings stay in their order
        return judgements._replace(comparison=place, rater=rater).only(order)

    def _refuse_silence(self, said: loading.Judgements) -> None:
        if self.votes.n or self.decisions or self.heard.both_bad.any():
            return
        if self.muted:
            raise Invalid("Only judges that gold refuses have judged here: ask people first.", code="muted")
        if self.recipe.aspect and not len(said.id):
            raise Invalid(f"Nobody has judged the aspect {self.recipe.aspect!r} here.", field="aspect")
        raise Invalid("There are no judgements to build from yet.", code="empty")

    def _pairs(self) -> Pairs | None:
        """The completions of each comparison with votes, numbered as they first appear."""
        places = np.array(self.votes.comparisons, dtype=np.int64)
        pairs = loading.pairs_of(self.project, self.order[places])
        if pairs is None:
            return None
        flat = np.stack([pairs.a, pairs.b], axis=1).ravel()
        _, at, codes = np.unique(flat, return_index=True, return_inverse=True)
        number = np.empty(len(at), dtype=np.int64)
        number[np.argsort(at)] = np.arange(len(at))
        both = number[codes].reshape(-1, 2)
        return Pairs(np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1]), len(at))

    def count(self) -> int:
        return len(self.order)

    def candidates(self, said: Callable[[int], None] = lambda done: None) -> Iterator[Candidate]:
        """In their order. `said` is told, batch by batch, how many were given."""
        start, size = 0, FIRST
        while start < len(self.order):
            stop = min(start + size, len(self.order))
            length = yield from self._candidates(start, stop)
            said(stop)
            start, size = stop, max(1, min(BATCH, 2 * size, size * BATCH_CHARS // (length or 1)))

    def _candidates(self, start: int, stop: int) -> Generator[Candidate, None, int]:
        """Returns how many characters their texts have."""
        keys = self.order[start:stop].tolist()
        with connection.cursor() as cursor:
            cursor.execute(TEXTS, [keys])
            texts = {row[0]: row[1:] for row in cursor.fetchall()}
        beside = _Beside(keys, self.recipe)
        vectors = vectors_of(self.project, self.recipe, keys)
        bounds = np.searchsorted(self.heard.comparison, np.arange(start, stop + 1)).tolist()
        for n, pk in enumerate(keys):
            if pk not in texts:  # withdrawn for good since the order was read
                continue
            name, prompt, a, b, generator_a, generator_b, group, metadata, language = texts[pk]
            votes, lineage = self._votes(bounds[n], bounds[n + 1])
            decided = self.decisions.get(pk)
            posterior, preference = self._consensus(start + n, decided)
            yield Candidate(
                id=name,
                prompt=orjson.loads(prompt),
                completion_a=orjson.loads(a),
                completion_b=orjson.loads(b),
                posterior=posterior,
                preference=preference,
                votes=votes,
                group=group,
                generator_a=generator_a or None,
                generator_b=generator_b or None,
                noise=beside.scores.get(pk, {}),
                treatment=beside.treatments.get(pk),
                metadata=json.loads(metadata),
                language=language,
                vector=vectors.get(pk),
                decision=None if decided is None else self._decision(decided),
                origin=Origin(pk, start + n, lineage | beside.lineage(pk, decided)),
            )
        return sum(len(prompt) + len(a) + len(b) for _, prompt, a, b, *_ in texts.values())

    def _consensus(self, place: int, decided: Adjudication | None) -> tuple[tuple[float, float, float], float]:
        """Probabilities of a, tie, b, and the signed strength: as it was decided, else as the votes were fitted."""
        if decided is not None:
            return loading.certain(decided), float(decided.preference or 0)
        a, tie, b = self.posterior[place].tolist()
        return (round(a, 6), round(tie, 6), round(b, 6)), round(float(self.strength[place]), 6)

    def _decision(self, decided: Adjudication) -> Decision:
        return Decision(adjudicator_name(decided, self.project), decided.preference, decided.both_bad)

    def _votes(self, start: int, stop: int) -> tuple[list[VoteRow], dict[str, Any]]:
        """One vote a rater of these judgements of one comparison, and their ids.

        A judge's two orders are their mean, with no order of their own.
        """
        heard = self.heard
        votes: list[VoteRow] = []
        columns = zip(
            heard.rater[start:stop].tolist(),
            heard.preference[start:stop].tolist(),
            heard.both_bad[start:stop].tolist(),
            heard.a_first[start:stop].tolist(),
            strict=True,
        )
        readings: dict[int, list[tuple[float | None, bool, int]]] = {}
        for rater, preference, both_bad, a_first in columns:
            known = preference if preference == preference else None  # nan: not given
            readings.setdefault(rater, []).append((known, both_bad, a_first))
        for rater, said in readings.items():
            parsed = [preference for preference, _, _ in said if preference is not None]
            bad = [bad for preference, bad, _ in said if bad or preference is not None]  # of what could be read
            votes.append(
                {
                    "rater": self.names[rater],
                    "kind": self.raters[rater].kind,
                    "preference": sum(parsed) / len(parsed) if parsed else None,
                    "both_bad": bool(bad) and all(bad),
                    "order": ORDERS[said[0][2]] if len(said) == 1 else None,
                }
            )
        ids = heard.id[start:stop].tolist()
        return votes, {"judgements": ids} if ids else {}

    def told(self, raters: Raters) -> list[RaterFacts]:
        """Everybody whose votes made the consensus, under the names that the rows call them by."""
        fit = self.fitted.fit
        skills = zip(fit.skill, fit.skill_low, fit.skill_high, fit.n_votes, strict=True)
        numbers = [int(str(rater)) for rater in self.votes.raters]
        called = raters.votes(
            {"rater": self.names[n], "kind": self.raters[n].kind, "preference": None, "both_bad": False, "order": None}
            for n in numbers
        )
        return [
            RaterFacts(vote["rater"], vote["kind"], int(n), Estimate(float(skill), float(low), float(high), int(n)))
            for vote, (skill, low, high, n) in zip(called, skills, strict=True)
        ]

    def contributions(self, kept: np.ndarray[Any, np.dtype[np.bool_]]) -> list[tuple[int, int, int]]:
        """Of the kept comparisons, a mask [n]: each rater's id, with how many rows and judgements are theirs."""
        rows = kept[self.heard.comparison] if len(self.heard.comparison) else np.zeros(0, dtype=bool)
        rater, comparison = self.heard.rater[rows], self.heard.comparison[rows]
        judgements = np.bincount(rater, minlength=len(self.raters))
        distinct = np.unique(rater * len(self.order) + comparison) // max(1, len(self.order))
        counts = np.bincount(distinct, minlength=len(self.raters))
        return [(r.pk, int(counts[n]), int(judgements[n])) for n, r in enumerate(self.raters) if counts[n]]


ORDERS: Final[Mapping[int, str | None]] = {1: "ab", 0: "ba", -1: None}


class _Beside:
    """What else is known of some comparisons, by their ids."""

    def __init__(self, keys: Sequence[int], recipe: Recipe) -> None:
        self.scores: dict[int, dict[str, float]] = {}
        self.treatments: dict[int, Treatment] = {}
        self._ids: dict[str, dict[int, int]] = {"noise": {}, "routing": {}}
        if recipe.noise is not None and recipe.noise.method is not None:
            asked = NoiseScore.objects.filter(comparison__in=keys, method=recipe.noise.method)
            self.scores = {
                pk: {recipe.noise.method: score} for pk, score in asked.values_list("comparison_id", "score")
            }
        if recipe.aspect is None and (recipe.noise is None or recipe.noise.treatment == "current"):
            for row in NoiseDecision.objects.filter(comparison__in=keys, current=True):
                told = Treatment(row.action, row.told(), float(row.details.get("weight", 0)), row.published())
                self.treatments[row.comparison_id] = told
                self._ids["noise"][row.comparison_id] = row.pk
        routed = RoutingDecision.objects.filter(comparison__in=keys, current=True)
        self._ids["routing"] = dict(routed.values_list("comparison_id", "id"))

    def lineage(self, pk: int, decided: Adjudication | None) -> dict[str, int]:
        """Ids of the decisions about a comparison, as they stand."""
        told = {name: ids[pk] for name, ids in self._ids.items() if pk in ids}
        if decided is None:
            return told
        told.pop("noise", None)  # a decision is beyond doubt: no treatment has a part in its row
        return told | {"adjudication": decided.pk}


def _order(project: Project, ids: Sequence[int] | None) -> Ints:
    some = "" if ids is None else "AND id = ANY (%(ids)s)"
    given: dict[str, Any] = {"project": project.pk} | ({} if ids is None else {"ids": list(ids)})
    found: Ints = loading.read(IDS.format(some=some), {"id": "int8"}, given)["id"].copy()
    return found
