"""What a version tells of itself, once its rows are written: the card as Markdown, and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from annotate.models import Rater
from curation.exports.card import CardFacts, RaterFacts, Statistics, render_card
from curation.models import DatasetVersion
from curation.stats import Estimate


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
    muted: Sequence[str] = ()
    """Names of the judges of whose words no label was made, since gold refuses them."""


class Description(NamedTuple):
    card: str
    figures: dict[str, Any]
    """For `DatasetVersion.statistics`."""


def describe(version: DatasetVersion, statistics: Statistics, outcome: Outcome) -> Description:
    """Of a version whose rows, dropped rows and files are stored; it is saved by whoever asks."""
    facts = _facts(version, outcome)
    return Description(render_card(facts, statistics), _figures(statistics, outcome))


def _facts(version: DatasetVersion, outcome: Outcome) -> CardFacts:
    project = version.dataset.project
    return CardFacts(
        name=version.dataset.name,
        version=version.number,
        digest=outcome.rows_sha256,
        recipe=version.recipe,
        dropped=outcome.dropped,
        raters=outcome.raters if len(outcome.raters) <= 50 else (),
        agreement=outcome.agreement,
        description=version.dataset.description or project.description,
        license=version.dataset.licence or "other",
        simulated=Rater.objects.filter(project=project, simulated=True).exists(),
    )


def _figures(statistics: Statistics, outcome: Outcome) -> dict[str, Any]:
    figures = {
        "rows": statistics.n,
        "groups": len(statistics.groups),
        "sources": dict(sorted(statistics.sources.items())),
        "chosen_longer": statistics.chosen_longer,
        "lengths_differ": statistics.lengths_differ,
        "chosen_first": statistics.chosen_first,
        "decided_with_order": statistics.decided_with_order,
        "votes": statistics.votes,
        "judge_votes": statistics.judge_votes,
        "alpha_people": outcome.agreement._asdict(),
    }
    return figures | ({"muted_judges": list(outcome.muted)} if outcome.muted else {})
