"""The card and the figures of a version that was built: what only the database knows is told as it is there."""

from __future__ import annotations

import json
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from django.test import Client, TestCase

from annotate.models import Comparison
from curation.exports import bias, cautions
from curation.models import DatasetVersion, RoutingSettings
from curation.services import building, rewriting, withdrawing
from curation.services.reading import bias as bias_pages
from curation.stats import Estimate
from tests.build import (
    make_call,
    make_comparison,
    make_judge,
    make_judgement,
    make_judgements,
    make_member,
    make_project,
    make_rater,
    make_routing,
)
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Role
from tiebreak.runs import ledger

N = 24
GUIDELINES = "Choose the better one."


@pytest.fixture
def project() -> Project:
    return make_project("chat", overlap=3, guidelines=GUIDELINES)


def built(project: Project, recipe: dict[str, Any] | None = None) -> DatasetVersion:
    started = building.start("prefs", project, recipe or {}, by=None, wake=False)
    ledger.execute(started.run_id or 0)
    started.refresh_from_db()
    assert started.status == "ready"
    return started


def judged(project: Project, n: int = N, said: str = "AAB") -> list[Comparison]:
    """The longer completion, a, has two votes of three."""
    made = [make_comparison(project, f"c{i:03d}", prompt=f"why {i}?", a="yes, as it is", b="no") for i in range(n)]
    for each in made:
        make_judgements(each, said)
    return made


@pytest.mark.django_db
@pytest.mark.usefixtures("storage")
class TestDescribed:
    def test_the_figures_are_json_and_say_how_often_the_longer_one_is_chosen(self, project: Project) -> None:
        judged(project)

        version = built(project)

        json.dumps(version.statistics, allow_nan=False)
        (length,) = version.statistics["bias"]["length"]
        assert (length["label"], length["value"], length["n"]) == ("all", 1.0, N)
        assert "longer" in [caution["name"] for caution in version.statistics["cautions"]]
        assert "A length-biased set: the chosen completion is the longer in 100 %" in version.card
        assert version.rows_sha256 in version.card
        assert version.chain_sha256 in version.card

    def test_guidelines_and_hours_are_those_of_the_judgements_in_the_rows(self, project: Project) -> None:
        made = judged(project, 4, "AA")
        ann = make_rater(project, "ann")
        form = project.forms.get(current=True)
        for each in made[:3]:
            make_judgement(each, ann, -1, form=form, seconds=1200.0)
        RoutingSettings.objects.create(project=project, hourly_rate=Decimal("18.5"), currency="EUR")

        version = built(project)

        # Three of 4 · 2 + 3 judgements are timed, an hour in all, at 18.50.
        digest = sha256(GUIDELINES.encode()).hexdigest()
        assert f"| version 1 | `{digest}` | 3 |" in version.card
        assert "| not known (imported) |  | 8 |" in version.card
        assert "| people's active time | 1.00 hours | known of 3 of 11 judgements |" in version.card
        assert "| that time in money | 18.50 EUR | at 18.5 EUR an hour |" in version.card
        assert version.statistics["cost"]["seconds"] == 3600.0

    def test_judges_are_told_with_their_accuracy_on_the_audit_and_their_price(self, project: Project) -> None:
        made = judged(project)
        judge = make_judge(project, "gpt", model="gpt-x")
        for i, each in enumerate(made):
            make_routing(each, audit=i < 12, probability=0.5)
            # Right (a, as people say) but for the first two of the audit: 10 of 12, with which it is admitted.
            if i < 10:
                make_call(judge, each, 1 if i < 2 else -1, price=Decimal("0.01"), prompt_version="pairwise@1")
            else:
                make_judgement(each, judge.rater, -1)

        version = built(project)

        assert (
            "| gpt v1 | pairwise | gpt-x | pairwise@1 |  | 24 | 0.833 (0.552 to 0.953) |" in version.card
        )  # Wilson, 10 of 12
        assert "corrected by the audit of 12 comparisons" in version.card
        assert "known of 10 of 24 readings" in version.card
        assert "before selection: judges with people | " in version.card
        assert "unaudited" not in [caution["name"] for caution in version.statistics["cautions"]]

    def test_a_rater_who_took_their_words_back_goes_from_the_card_whatever_their_name(self, project: Project) -> None:
        name = "Lee |  <b>*Ann*"
        made = judged(project, 4, "AA")
        lee = make_rater(project, name)
        for each in made:
            make_judgement(each, lee, -1)
        version = built(project)
        assert "Ann" in version.card

        with TestCase.captureOnCommitCallbacks(execute=True):
            ledger.execute(withdrawing.start(lee, "asked for it", by=None, wake=False).run_id or 0)

        version.refresh_from_db()
        assert "Ann" not in version.card
        assert "Ann" not in json.dumps(version.statistics)

    def test_labels_of_judges_alone_without_an_audit_are_warned_of(self, project: Project) -> None:
        rater = make_judge(project, "gpt").rater
        for i in range(6):
            make_judgement(make_comparison(project, f"c{i}"), rater, -1)

        version = built(project)

        assert "Judge labels without an audit: 6 of 6 rows" in version.card


@pytest.mark.django_db
@pytest.mark.usefixtures("storage")
class TestPage:
    def test_the_page_has_the_cautions_and_a_picture_with_a_table_for_each_section(
        self, project: Project, client: Client
    ) -> None:
        judged(project)
        version = built(project)
        client.force_login(make_member(project, Role.VIEWER))

        text = client.get(f"/p/chat/datasets/prefs/{version.number}/").content.decode()

        assert "Know before you train" in text
        assert text.count('<figure class="chart" id="bias-') == len(version.statistics["bias"])
        assert "the chosen completion is the longer in 100 %" in text

    def test_a_version_that_never_counted_its_work_still_tells_its_votes(
        self, project: Project, client: Client
    ) -> None:
        judged(project)
        version = built(project)
        with rewriting.door():
            version.work.all().delete()
        client.force_login(make_member(project, Role.VIEWER))

        text = client.get(f"/p/chat/datasets/prefs/{version.number}/").content.decode()

        work = text.partition('id="work-title"')[2].partition("</section>")[0]
        assert "Krippendorff" in work
        assert "Votes" in work
        assert "Not counted" in work
        assert "Cost of its rows" not in work

    def test_a_version_from_before_there_was_a_bias_card_has_none(self, project: Project, client: Client) -> None:
        judged(project)
        version = built(project)
        version.statistics = {"rows": 3}

        page = bias_pages.bias(version)

        assert (page.cautions, page.pictures, page.agreement, page.accuracy) == ([], [], None, None)


def test_places_in_a_picture_are_those_of_the_shares() -> None:
    told = {
        "length": [{"label": "all", "value": 0.5, "low": 0.25, "high": 1.0, "n": 4, "reason": ""}],
        "weight": [{"label": "bold", "value": 1.5, "low": 0.0, "high": 3.0, "n": 9, "reason": ""}],
        "baseline": [{"label": "length"} | Estimate(None, reason=bias.NO_HELD)._asdict()],
    }

    length, baseline, weight = bias_pages.bias(DatasetVersion(statistics={"bias": told})).pictures

    assert (length.bars[0].low, length.bars[0].at, length.bars[0].high) == (100.0, 200.0, 400.0)
    assert (weight.bars[0].low, weight.bars[0].at, weight.bars[0].high) == (200.0, 300.0, 400.0)
    assert baseline.bars[0].at is None
    assert (weight.ends, weight.middle) == (("-3.0", "0", "+3.0"), 200.0)


def test_everything_that_the_pure_package_says_is_there_to_be_translated() -> None:
    sections = {text for section in bias.SECTIONS.values() for text in (section.title, section.about, section.of)}
    labels = {*bias.FEATURES, *bias.WHO.values(), bias.OTHERS, bias.TURNS[-1], *(label for _, label in bias.RATIOS)}
    reasons = {bias.NO_HELD, bias.NO_TRAIN}

    assert sections | labels | reasons <= set(bias_pages.WORDS)
    assert set(cautions.TEXTS.values()) == set(bias_pages.CAUTIONS)
