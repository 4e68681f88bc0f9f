"""What a version tells of itself, once its rows are written: the card as Markdown, and its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef

from annotate.models import JudgeCall, Rater
from curation.exports.bias import Figures, Rate
from curation.exports.card import render_card
from curation.exports.cautions import cautions
from curation.exports.facts import (
    CardFacts,
    Cost,
    EvaluationFacts,
    Guidelines,
    JudgeFacts,
    RaterFacts,
    Statistics,
)
from curation.models import DatasetVersion, EvaluationSet, RoutingSettings, VersionFile, Withdrawal
from curation.stats import Estimate
from tiebreak.accounts.models import Project

from .reading import agreement, said, sides


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the build knows at its end, and the database does not."""

    rows_sha256: str
    chain_sha256: str
    dropped: Mapping[str, int]
    """{rule: comparisons}, in the order of the rules, zeros too."""
    changed: Mapping[str, int]
    """{rule: rows that it altered}."""
    raters: Sequence[RaterFacts]
    """All whose votes made the consensus, under the names that the rows call them by."""
    agreement: Estimate
    """Of people, over everything that they judged, never over the rows kept: selection raises it."""
    method: str = ""
    """How the consensus was made."""
    because: str = ""
    """Why it was that one."""
    muted: Sequence[str] = ()
    """Names of the judges of whose words no label was made, since gold or the audit refuses them."""


class Description(NamedTuple):
    card: str
    figures: dict[str, Any]
    """For `DatasetVersion.statistics`."""


def describe(version: DatasetVersion, statistics: Statistics, outcome: Outcome) -> Description:
    """Of a version whose rows, dropped rows, files, contributions and work are stored; whoever asks saves it."""
    facts = _facts(version, statistics, outcome)
    return Description(render_card(facts, statistics), _figures(facts, statistics))


def _facts(version: DatasetVersion, statistics: Statistics, outcome: Outcome) -> CardFacts:
    dataset, project = version.dataset, version.dataset.project
    judged = _Judged.of(version) if statistics.judge_votes else _Judged()
    return CardFacts(
        name=dataset.name,
        version=version.number,
        digest=outcome.rows_sha256,
        chain=outcome.chain_sha256,
        recipe=version.recipe,
        recipe_sha256=version.recipe_sha256,
        code_version=version.code_version,
        dropped=outcome.dropped,
        changed=outcome.changed,
        raters=outcome.raters,
        agreement=outcome.agreement,
        agreements=judged.agreements,
        judges=judged.judges,
        judge_accuracy=judged.accuracy,
        audited=judged.audited,
        method=outcome.method,
        because=outcome.because,
        muted=outcome.muted,
        description=dataset.description or project.description,
        license=dataset.licence or "other",
        simulated=Rater.objects.filter(project=project, simulated=True).exists(),
        guidelines=_guidelines(version),
        cost=_cost(version),
        evaluations=list(_evaluations(version)),
        withdrawn=Counter(Withdrawal.objects.filter(project=project).values_list("kind", flat=True)),
        files=_files(version.files.filter(undecided=False)),
        undecided_files=_files(version.files.filter(undecided=True)),
    )


class _Judged(NamedTuple):
    """The judges behind the rows, and how right they are by the audit of all that they labelled."""

    judges: Sequence[JudgeFacts] = ()
    accuracy: Estimate | None = None
    audited: int = 0
    agreements: Sequence[Rate] = ()

    @classmethod
    def of(cls, version: DatasetVersion) -> _Judged:
        project = version.dataset.project
        known = sides.accuracy(project, audit=True)
        unknown = Estimate(None, reason="no audited comparison was judged by it and by people")
        there = version.contributions.filter(rater__kind=Rater.Kind.JUDGE).select_related("rater__judge__rubric")
        judges = [
            JudgeFacts(
                *_judge(row.rater),
                readings=row.judgements,
                accuracy=known.get(row.rater_id, unknown),
                prompts=_prompts(row.rater, version),
            )
            for row in there.order_by("rater__name")
        ]
        everything = said.read(project, texts=False)
        whole = agreement.whole(everything)
        return cls(
            judges,
            agreement.judge_accuracy(everything).corrected,
            int(everything.audit.sum()),
            [Rate("judges with people", whole.across), Rate("judges with judges", whole.judges)],
        )


def _judge(rater: Rater) -> tuple[str, str, str, str]:
    """Name with version, kind, model, rubric; a judge of another tool has but its name."""
    judge = rater.judge
    if judge is None:
        return rater.name, "", "", ""
    rubric = f"{judge.rubric.name} v{judge.rubric.version}" if judge.rubric else ""
    return str(judge), judge.kind, judge.model, rubric


def _prompts(rater: Rater, version: DatasetVersion) -> list[str]:
    """The templates of its calls about what has a row."""
    has_row = Exists(version.rows.filter(comparison=OuterRef("comparison")))
    calls = JudgeCall.objects.filter(has_row, judge=rater.judge_id, judgement__isnull=False).exclude(prompt_version="")
    return list(calls.order_by("prompt_version").values_list("prompt_version", flat=True).distinct())


def _guidelines(version: DatasetVersion) -> list[Guidelines]:
    """Those under which people said what the rows rest on; by their text, since a form changes by itself too."""
    counted: Counter[tuple[int | None, str]] = Counter()
    work = version.work.filter(kind=Rater.Kind.ANNOTATOR).select_related("form")
    for row in work:
        text = row.form.guidelines if row.form else ""
        key = (row.form.guidelines_version if row.form else None, sha256(text.encode()).hexdigest() if text else "")
        counted[key] += row.judgements
    ordered = sorted(counted.items(), key=lambda item: (item[0][0] is None, item[0]))
    return [Guidelines(number, digest, n) for (number, digest), n in ordered]


def _cost(version: DatasetVersion) -> Cost | None:
    work = list(version.work.all())
    people, judges = ([row for row in work if row.kind == kind] for kind in Rater.Kind)
    if not work:
        return None
    settings = RoutingSettings.objects.filter(project=version.dataset.project_id).first() or RoutingSettings()
    return Cost(
        judgements=sum(row.judgements for row in people),
        timed=sum(row.timed for row in people),
        seconds=sum(row.seconds for row in people),
        readings=sum(row.judgements for row in judges),
        priced=sum(row.priced for row in judges),
        price=_plain(sum((row.price for row in judges), Decimal(0))),
        hourly=_plain(settings.hourly_rate) if settings.hourly_rate else None,
        currency=settings.currency,
    )


def _plain(amount: Decimal) -> str:
    """Without the zeros that its column adds."""
    return format(amount.normalize(), "f")


def _evaluations(version: DatasetVersion) -> Iterable[EvaluationFacts]:
    """The sets that the recipe holds rows against, each with the comparisons left out for what they share with it."""
    rule = version.recipe.get("decontaminate") or {}
    dropped = version.dropped_rows.filter(rule="decontaminate")
    project: Project = version.dataset.project
    for row in EvaluationSet.objects.filter(project=project, name__in=rule.get("against", ())).order_by("name"):
        n = dropped.filter(cause__contains=f" with {row.name}, item ").count()
        yield EvaluationFacts(row.name, row.texts, row.sha256, n)


def _files(rows: Iterable[VersionFile]) -> dict[str, list[str]]:
    """Split → names of its files that have rows, in their order."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.rows:
            found.setdefault(row.split, []).append(row.name)
    return found


def _figures(facts: CardFacts, statistics: Statistics) -> dict[str, Any]:
    bias, longer, first = statistics.bias.figures(), statistics.bias.longer["length"], statistics.bias.first
    figures = {
        "rows": statistics.n,
        "groups": statistics.groups,
        "sources": dict(sorted(statistics.sources.items())),
        "votes": statistics.votes,
        "judge_votes": statistics.judge_votes,
        "chosen_longer": longer.hits["all"],
        "lengths_differ": longer.tried["all"],
        "chosen_first": sum(first.hits.values()),
        "decided_with_order": sum(first.tried.values()),
        "alpha_people": _told(facts.agreement),
        "judge_accuracy": _told(facts.judge_accuracy),
        "cost": facts.cost._asdict() if facts.cost else None,
        "muted_judges": list(facts.muted),
        "bias": _bias(bias),
        "cautions": [each._asdict() for each in cautions(facts, statistics, bias)],
    }
    return {name: value for name, value in figures.items() if value not in (None, [])}


def _told(estimate: Estimate | None) -> dict[str, Any] | None:
    return estimate._asdict() if estimate else None


def _bias(figures: Figures) -> dict[str, list[dict[str, Any]]]:
    """Sections, each a list of {label, value, low, high, n, reason}; rounded to what another machine has as well."""
    return {
        name: [{"label": r.label, **_rounded(r.figure)._asdict()} for r in rates] for name, rates in figures.items()
    }


def _rounded(estimate: Estimate) -> Estimate:
    value, low, high = (None if part is None else round(part, 6) for part in estimate[:3])
    return estimate._replace(value=value, low=low, high=high)
