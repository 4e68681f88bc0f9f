"""Noise: how doubtful each label is, by which method and because of what, and what one score alone proposes.

Labels are read as arrays, texts in blocks, and scores are written by COPY: a million labels take minutes, and the
memory of one block of texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from django.db import connection, transaction
from django.db.models import Max
from psycopg.types.json import Jsonb

from annotate.models import Comparison, Rater
from curation import noise
from curation.models import Aggregation, NoiseScore, RaterSkill
from curation.noise.duplicates import Items, clusters, conflicts, items
from curation.noise.rules import Texts, rules
from curation.stats import K
from curation.stats.votes import FloatArray, IntArray
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.core.models import record
from tiebreak.runs.ledger import Execution

from . import loading

BLOCK: Final = 10_000
PASTED: Final = 5
"""A justification that its author gave on so many comparisons was pasted."""
HERE: Final = tuple(name for name, method in noise.METHODS.items() if method.needs in ("votes", "margins", "text"))
"""What this run scores. What needs training has a run of its own."""


class Labelled(NamedTuple):
    """n labels of a project that no adjudicator decided, in the order of their ids."""

    project: Project
    id: IntArray
    posterior: FloatArray
    """[n, K]"""
    people: IntArray
    tell: Callable[[], Any] = lambda: None
    """Called between blocks of what takes long before anything is scored."""

    @property
    def side(self) -> IntArray:
        """[n] -1 a, 0 a tie, 1 b."""
        a, tie, b = self.posterior.T
        side: IntArray = np.where(a > np.maximum(tie, b), -1, np.where(b > np.maximum(a, tie), 1, 0))
        return side

    def block(self, start: int) -> Labelled:
        part = slice(start, start + BLOCK)
        return self._replace(id=self.id[part], posterior=self.posterior[part], people=self.people[part])


Score = Callable[[Labelled], noise.Scores]


def run(execution: Execution) -> Mapping[str, Any]:
    """Params: method, one of HERE or "all". Scores replace those of the same method, block by block.

    A run that was stopped goes on behind the last block that it stored. Of two runs the later one's scores stand.
    """
    project = execution.run.project
    if project is None:
        raise Invalid("Noise scores need a project.", field="project")
    labels = labelled(project)._replace(tell=execution.check)
    if not len(labels.id):
        raise Invalid("There is no consensus to doubt yet: aggregate first.", code="empty")
    wanted = execution.params["method"]
    methods = HERE if wanted == "all" else (wanted,)
    actions: Counter[str] = Counter()
    for number, method in enumerate(methods):
        whole = len(methods) * len(labels.id)
        actions.update(store(execution, method, labels, SCORERS[method](labels), number * len(labels.id), whole))
    told = dict(sorted(actions.items()))
    record("noise.scored", execution.run, by=execution.run.created_by, project=project, scored=actions.total(), **told)
    return {"methods": list(methods), "scored": actions.total(), "decisions": told}


LABELS: Final = """
SELECT k.comparison_id AS id, k.p_a, k.p_tie, k.p_b, k.n_annotators::int4 AS people
FROM curation_consensus AS k JOIN annotate_comparison AS c ON c.id = k.comparison_id
WHERE c.project_id = %(project)s AND c.status <> 'withdrawn'
  AND NOT EXISTS (SELECT FROM annotate_adjudication AS d WHERE d.comparison_id = k.comparison_id AND d.current)
"""
COLUMNS: Final = {"id": "int8", "p_a": "float8", "p_tie": "float8", "p_b": "float8", "people": "int4"}


def labelled(project: Project) -> Labelled:
    """What an adjudicator decided is beyond doubt and is not among them."""
    rows = loading.read(LABELS, COLUMNS, {"project": project.pk})
    rows = rows[np.argsort(rows["id"])]
    posterior = np.stack([rows["p_a"], rows["p_tie"], rows["p_b"]], axis=1)
    return Labelled(project, rows["id"].astype(np.int64), posterior, rows["people"].astype(np.int64))


# One function a method: it reads what it needs of the whole project, and gives the function that scores a block.


def _entropy(labels: Labelled) -> Score:
    return lambda block: noise.consensus_entropy(block.posterior)


def _disagreement(labels: Labelled) -> Score:
    margins = margins_of(labels.project, labels.id)
    return lambda block: noise.reward_model_disagreement(block.posterior, margins[np.searchsorted(labels.id, block.id)])


MARGINS: Final = """
SELECT DISTINCT ON (m.comparison_id) m.comparison_id AS id, m.margin FROM curation_rewardmargin AS m
JOIN annotate_comparison AS c ON c.id = m.comparison_id
WHERE c.project_id = %(project)s AND m.held_out ORDER BY m.comparison_id, m.reward_model_id DESC
"""


def margins_of(project: Project, ids: IntArray) -> FloatArray:
    """[n] reward(b) - reward(a) by the latest model, for comparisons that it was not trained on; nan elsewhere."""
    rows = loading.read(MARGINS, {"id": "int8", "margin": "float8"}, {"project": project.pk})
    return at(ids, rows["id"], rows["margin"].astype(np.float64), np.nan)


def at(ids: IntArray, known: IntArray, values: FloatArray, otherwise: float) -> FloatArray:
    """[n] the values of those ids (sorted) that are known."""
    found = np.full(len(ids), otherwise)
    place = np.searchsorted(ids, known)
    inside = np.flatnonzero(place < len(ids))
    same = inside[ids[place[inside]] == known[inside]]
    found[place[same]] = values[same]
    return found


class _Crowd(NamedTuple):
    """What the last aggregation says of its R raters."""

    id: IntArray
    """[R] sorted"""
    name: tuple[str, ...]
    confusion: FloatArray
    n: FloatArray
    prior: FloatArray


def _quality(labels: Labelled) -> Score:
    crowd = _crowd(labels.project)

    def score(block: Labelled) -> noise.Scores:
        said = loading.judgements_of(labels.project, block.id.tolist()).votes()
        place = np.searchsorted(block.id, np.array(said.comparisons, dtype=np.int64))[said.comparison]
        who = np.searchsorted(crowd.id, np.array(said.raters, dtype=np.int64))[said.rater]
        votes = replace(
            said, comparison=place, rater=who, comparisons=tuple(block.id.tolist()), raters=tuple(crowd.id.tolist())
        )
        return noise.rater_quality(block.posterior, votes, crowd.confusion, crowd.n, crowd.prior, crowd.name)

    return score


def _crowd(project: Project) -> _Crowd:
    """A rater who came after the aggregation, or of whom it says nothing, is one of whom nothing is known."""
    current = Aggregation.objects.filter(project=project, current=True).first()
    known = {s.rater_id: s for s in RaterSkill.objects.filter(aggregation=current)}
    raters = list(Rater.objects.filter(project=project).order_by("pk").values_list("pk", "name"))
    confusion = np.full((len(raters), K, K), np.nan)
    n = np.zeros(len(raters))
    for place, (pk, _) in enumerate(raters):
        if pk in known and np.shape(known[pk].confusion) == (K, K):
            confusion[place], n[place] = known[pk].confusion, known[pk].n
    prior = np.array(current.prior if current and len(current.prior) == K else [1 / K] * K, dtype=np.float64)
    ids = np.array([pk for pk, _ in raters], dtype=np.int64)
    return _Crowd(ids, tuple(name for _, name in raters), confusion, n, prior)


def _rules(labels: Labelled) -> Score:
    pasted = _pasted(labels.project)

    def score(block: Labelled) -> noise.Scores:
        sides = dict(zip(block.id.tolist(), block.side.tolist(), strict=True))
        return rules(
            Texts(prompt, a, b, sides[pk], tuple(pasted.get(pk, ()))) for pk, _, prompt, a, b in _texts(block.id)
        )

    return score


PASTES: Final = """
SELECT comparison_id, words, n FROM (
  SELECT j.comparison_id, left(j.justification, 200) AS words,
         count(*) OVER (PARTITION BY j.rater_id, md5(lower(btrim(j.justification)))) AS n
  FROM annotate_judgement AS j JOIN annotate_rater AS r ON r.id = j.rater_id
  WHERE r.project_id = %s AND r.kind = 'annotator' AND j.current AND length(btrim(j.justification)) >= 20
) AS said WHERE n >= %s ORDER BY comparison_id
"""


def _pasted(project: Project) -> dict[int, list[tuple[str, int]]]:
    """By comparison, justifications of some length that their author gave again and again."""
    found: dict[int, list[tuple[str, int]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(PASTES, [project.pk, PASTED])
        for comparison, words, n in cursor.fetchall():
            found.setdefault(comparison, []).append((words, n))
    return found


def _texts(ids: IntArray) -> Iterator[tuple[int, str, str, str, str]]:
    """Id, external id, prompt, completion a and b of so many comparisons, in the order of their ids."""
    rows = Comparison.objects.filter(pk__in=ids.tolist()).order_by("pk")
    columns = ("pk", "external_id", "prompt__messages", "completion_a__text", "completion_b__text")
    for pk, name, messages, a, b in rows.values_list(*columns):
        yield pk, name, "\n".join(str(message["content"]) for message in messages), a, b


def _conflicts(labels: Labelled) -> Score:
    """Read all texts once, keeping fingerprints; the conflicts of the whole project are found together."""
    prompt, a, b, names = _fingerprints(labels)
    n = len(labels.id)
    asked = clusters(prompt)
    both = Items(np.concatenate([a.exact, b.exact]), np.concatenate([a.sketch, b.sketch]))
    item = clusters(both, (np.arange(n), np.arange(n, 2 * n)))
    pair = np.unique(np.concatenate([asked, asked]) * (item.max(initial=0) + 1) + item, return_inverse=True)[1]
    found = conflicts(pair[:n], pair[n:], labels.side, names, tell=labels.tell)

    def score(block: Labelled) -> noise.Scores:
        places = np.searchsorted(labels.id, block.id)
        return noise.Scores(found.score[places], [found.text[place] for place in places.tolist()])

    return score


def _fingerprints(labels: Labelled) -> tuple[Items, Items, Items, list[str]]:
    """Of the prompts and both completions of n labels, and the comparisons' names."""
    parts: list[tuple[Items, Items, Items]] = []
    names: list[str] = []
    for start in range(0, len(labels.id), BLOCK):
        labels.tell()
        rows = list(_texts(labels.block(start).id))
        names += [row[1] for row in rows]
        parts.append((items(row[2] for row in rows), items(row[3] for row in rows), items(row[4] for row in rows)))
    joined = [
        Items(np.concatenate([each.exact for each in column]), np.concatenate([each.sketch for each in column]))
        for column in zip(*parts, strict=True)
    ]
    return joined[0], joined[1], joined[2], names


SCORERS: Final[Mapping[str, Callable[[Labelled], Score]]] = {
    "consensus-entropy": _entropy,
    "rater-quality": _quality,
    "rules": _rules,
    "conflicts": _conflicts,
    "reward-model-disagreement": _disagreement,
}


# Storing

FRESH: Final = """
CREATE TEMPORARY TABLE fresh_noise (comparison_id bigint, score float8, decision text, cause text, details jsonb)
"""
# A run that came later has said something newer: its scores stay.
UPSERT: Final = """
INSERT INTO curation_noisescore (comparison_id, method, score, decision, cause, details, run_id)
SELECT comparison_id, %(method)s, score, decision, cause, details, %(run)s FROM fresh_noise
ON CONFLICT (comparison_id, method) DO UPDATE SET score = EXCLUDED.score, decision = EXCLUDED.decision,
  cause = EXCLUDED.cause, details = EXCLUDED.details, run_id = EXCLUDED.run_id, created_at = now()
WHERE curation_noisescore.run_id IS NULL OR curation_noisescore.run_id <= EXCLUDED.run_id
"""
FORGET: Final = """
DELETE FROM curation_noisescore AS s USING annotate_comparison AS c
WHERE c.id = s.comparison_id AND c.project_id = %(project)s AND s.method = %(method)s
  AND (s.run_id IS NULL OR s.run_id < %(run)s)
"""


def store(execution: Execution, method: str, labels: Labelled, score: Score, before: int, total: int) -> Counter[str]:
    """Score and write all labels block by block; how many propose what. Of the run's `total`, `before` came first."""
    actions: Counter[str] = Counter()
    for start in range(_done(execution, method, labels), len(labels.id), BLOCK):
        block = labels.block(start)
        actions.update(_store(execution, method, block, score(block)))
        execution.progress(before + start + len(block.id), total, note=noise.METHODS[method].label)
    _forget(execution, method)
    return actions


def _store(execution: Execution, method: str, block: Labelled, found: noise.Scores) -> Counter[str]:
    """Write one block's scores; how many propose what."""
    proposed = noise.propose(found.score, block.people)
    scored = np.flatnonzero(~np.isnan(found.score))
    details = found.details or [{}] * len(found.score)
    with transaction.atomic():
        _turn(execution)
        with connection.cursor() as cursor:
            cursor.execute(FRESH)
            with cursor.copy("COPY fresh_noise FROM STDIN") as copy:
                for i in scored.tolist():
                    score = min(1.0, max(0.0, float(found.score[i])))
                    action = noise.ACTIONS[proposed[i]]
                    copy.write_row((int(block.id[i]), score, action, found.text[i][:500], Jsonb(details[i])))
            cursor.execute(UPSERT, {"method": method, "run": execution.run.pk})
            cursor.execute("DROP TABLE fresh_noise")
    counts = np.bincount(proposed[scored], minlength=len(noise.ACTIONS)).tolist()
    return Counter({action: n for action, n in zip(noise.ACTIONS, counts, strict=True) if n})


def _turn(execution: Execution) -> None:
    """Two runs of a project write in turns: each takes the rows in an order of its own."""
    execution.fence()
    Project.objects.select_for_update(no_key=True).get(pk=execution.run.project_id or 0)


def _forget(execution: Execution, method: str) -> None:
    """Scores of earlier runs are of labels that are none any more, or that the method cannot score now."""
    with transaction.atomic():
        _turn(execution)
        with connection.cursor() as cursor:
            params = {"project": execution.run.project_id, "method": method, "run": execution.run.pk}
            cursor.execute(FORGET, params)


def _done(execution: Execution, method: str, labels: Labelled) -> int:
    """Labels before this one were stored by an earlier attempt of this run."""
    if execution.run.attempt <= 1:
        return 0
    last = NoiseScore.objects.filter(run=execution.run, method=method).aggregate(last=Max("comparison_id"))["last"]
    return 0 if last is None else int(np.searchsorted(labels.id, last, side="right"))
