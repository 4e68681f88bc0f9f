"""The page of doubtful labels: what it shows, what its policy would do, and that random labels fool nobody."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotate.models import Comparison
from curation import noise, noise_review
from curation.models import NoiseDecision, NoiseTreatment
from curation.services import treating, verbs
from curation.services.reading import noise as reading
from tests import build
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.runs import ledger

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]
ENTROPY = "consensus-entropy"


@pytest.fixture
def project() -> Project:
    """Thirty comparisons judged AB; the score of number n is n / 30."""
    project = build.make_project("court", overlap=2)
    for role in Role.values:
        build.make_member(project, role, name=f"the-{role}")
    aggregation = build.make_aggregation(project)
    for number in range(30):
        comparison = build.make_comparison(project, f"c{number:02d}", prompt=f"which, of {number}?")
        build.make_judgements(comparison, "AB")
        build.make_consensus(aggregation, comparison, (0.7, 0.1, 0.2))
        build.make_noise(comparison, method=ENTROPY, score=number / 30, cause=f"split over {number}")
    return project


def one(role: str) -> User:
    return User.objects.get(username=f"the-{role}")


def as_(role: str) -> Client:
    client = Client()
    client.force_login(one(role))
    return client


def url(name: str, *args: Any) -> str:
    return reverse(name, args=["court", *args])


POLICY = {
    "r0-action": "drop", "r0-methods": ENTROPY, "r0-by": "at_least", "r0-value": "0.9",
    "limits-max_dropped": "0.5", "limits-unanimous": "3", "limits-flip_margin": "1", "limits-otherwise": "soften",
}  # fmt: skip


def previewed(**changes: str) -> str:
    response = as_("curator").get(url("noise"), POLICY | changes, headers={"HX-Request": "true"})
    assert response.status_code == 200
    return response.content.decode()


# --- what it shows ---------------------------------------------------------------------------------------------------


def test_the_most_doubtful_come_first_with_cause_texts_and_label(project: Project) -> None:
    build.make_noise(Comparison.objects.get(external_id="c29"), method="rules", score=0.4)
    page = as_("viewer").get(url("noise"), {"method": ENTROPY}).content.decode()

    assert page.index("split over 29") < page.index("split over 28")
    for words in (
        "which, of 29?",
        "first answer",
        "second answer",
        "label A, 70%",
        "rules 0.40",
        "<desc>",
        "0.95–1.00",
    ):
        assert words in page, words
    assert "Send to people" not in page  # a viewer looks


def test_the_list_goes_on_where_the_page_ends_also_among_equal_scores(project: Project) -> None:
    project.comparisons.get(external_id="c00").noise_scores.update(score=0.5)
    Comparison.objects.filter(external_id="c29").update(status="withdrawn")
    seen, after = list[int](), None
    while True:
        page = reading.suspects(project, ENTROPY, after=after)
        seen += [row.pk for row in page.rows]
        after = page.next
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 29
    assert reading.suspects(project, ENTROPY, least=True).rows[0].score.score == 1 / 30


def test_the_histogram_counts_every_label_once_and_puts_1_into_the_last_step(project: Project) -> None:
    project.comparisons.get(external_id="c29").noise_scores.update(score=1)
    bins = reading.histogram(project, ENTROPY)

    # n/30 for n = 0..28 and 1.0: [0, .05) holds 0 and 1/30; the last holds 29/30 moved to 1, and 28/30 < .95.
    assert (sum(b.n for b in bins), bins[0].n, bins[-1].n) == (30, 2, 1)
    assert max(b.height for b in bins) == 1


def test_the_histogram_shows_where_the_policys_rules_begin(project: Project) -> None:
    assert "0.50 ask people, 0.35 soften" in as_("viewer").get(url("noise")).content.decode()
    assert "0.90 drop" in as_("viewer").get(url("noise"), POLICY).content.decode()


def test_every_word_of_the_pure_packages_can_be_translated() -> None:
    words = [word for method in noise.METHODS.values() for word in (method.label, method.facts)]
    assert set(noise_review.TOLD) == {*words, *treating.SAVED.values()}


def test_a_page_takes_the_same_queries_however_many_suspects_it_lists(project: Project) -> None:
    client = as_("curator")
    client.get(url("noise"))
    with CaptureQueriesContext(connection) as many:
        client.get(url("noise"))
    Comparison.objects.exclude(external_id="c29").update(status="withdrawn")
    with CaptureQueriesContext(connection) as few:
        client.get(url("noise"))
    assert len(many) <= len(few) + 1


@pytest.mark.parametrize(
    "query",
    ["method=magic", "after=x", "after=99999999", "order=x", "preset=magic", "undecided=on", "limits-unanimous=x"],
)
def test_what_cannot_be_read_in_the_address_is_left_aside(project: Project, query: str) -> None:
    assert as_("viewer").get(url("noise") + "?" + query).status_code == 200


def test_without_consensus_or_scores_it_says_what_to_do_next(project: Project) -> None:
    page = as_("viewer").get(url("noise")).content.decode()
    assert "Policy" in page
    for comparison in project.comparisons.all():
        comparison.noise_scores.all().delete()
    assert "manage.py score_noise court" in as_("viewer").get(url("noise")).content.decode()
    project.aggregations.all().delete()
    assert "then aggregate" in as_("viewer").get(url("noise")).content.decode()


# --- a policy --------------------------------------------------------------------------------------------------------


def test_a_preview_counts_without_writing_and_offers_to_apply(project: Project) -> None:
    page = previewed()

    assert 'id="noise-preview"' in page
    assert "<html" not in page
    assert "Apply to 3 labels" in page  # 27, 28 and 29 of 30 are 0.9 or more
    assert "split over 29" in page
    assert not NoiseTreatment.objects.exists()


def test_a_preview_works_without_scripts(project: Project) -> None:
    page = as_("curator").get(url("noise"), POLICY).content.decode()

    assert "Apply to 3 labels" in page
    assert "<html" in page
    assert 'value="0.9"' in page  # the form stands as it was sent


def test_what_asking_people_takes_is_told(project: Project) -> None:
    page = previewed(**{"r0-action": "ask_people"})

    assert "It asks people for 3 judgements: 3 min 0 s, 0.00 USD" in page
    assert "none was timed here yet" in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"r0-value": "2"}, "rules.0.at_least: expected a number from 0 to 1, got 2.0."),
        ({"r0-value": "much"}, "got &#x27;much&#x27;"),
        ({"r0-value": ""}, "rules.0.at_least"),
        ({"r0-methods": ""}, "rules.0.methods"),
        ({"r0-action": "flip"}, "rules.0.agree"),
        ({"r0-action": ""}, "rules: expected 1 to 20 rules"),
        ({"limits-max_dropped": "0"}, "limits.max_dropped"),
        ({"limits-unanimous": ""}, "Believe so many people who agree"),
        ({"r1-action": "soften", "r1-methods": ENTROPY, "r1-value": "0.95"}, "rules.1"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said_in_its_preview(
    project: Project, changes: dict[str, str], words: str
) -> None:
    page = previewed(**changes)

    assert words in page
    assert "Apply to" not in page


def test_a_rule_that_holds_for_everything_asks_to_be_confirmed(project: Project) -> None:
    page = previewed(**{"r0-value": "0", "limits-max_dropped": "1"})
    assert "holds for every label" in page
    assert 'name="confirm"' in page
    told = re.search(r'name="policy" value="([^"]*)"', page)
    assert told is not None
    said = {"policy": told[1].replace("&quot;", '"'), "back": url("noise")}
    response = as_("curator").post(url("noise-treat"), said, follow=True)
    assert "Confirm that you mean it" in response.content.decode()
    assert not NoiseTreatment.objects.exists()
    as_("curator").post(url("noise-treat"), said | {"confirm": "on"})
    assert NoiseTreatment.objects.count() == 1


def test_what_was_previewed_is_applied_listed_and_undone(project: Project) -> None:
    told = re.search(r'name="policy" value="([^"]*)"', previewed())
    assert told is not None
    client = as_("curator")
    client.post(url("noise-treat"), {"policy": told[1].replace("&quot;", '"'), "note": "spring"})
    made = NoiseTreatment.objects.get()
    ledger.execute(made.run_id or 0)
    assert NoiseDecision.objects.filter(current=True, action="drop").count() == 3
    page = client.get(url("noise")).content.decode()
    assert "spring" in page
    assert "drop 3" in page
    client.post(url("noise-undo", made.pk))
    assert not NoiseDecision.objects.filter(current=True).exists()
    assert "undone" in client.get(url("noise")).content.decode()


@pytest.mark.parametrize("text", ["", "x", "[]", "1", '{"rules": 3}', "[" * 100_000])
def test_a_policy_that_is_none_is_refused_with_words(project: Project, text: str) -> None:
    response = as_("curator").post(url("noise-treat"), {"policy": text}, follow=True)

    assert response.status_code == 200
    assert 'class="message error"' in response.content.decode()


@pytest.mark.parametrize("role", ["viewer", "annotator", "adjudicator"])
def test_only_curators_treat_undo_and_decide(project: Project, role: str) -> None:
    made = treating.decide_one(project.comparisons.earliest("pk"), "keep", by=one("owner"))
    for address in (
        url("noise-treat"),
        url("noise-undo", made.pk),
        url("noise-decide", made.decisions.get().comparison_id),
    ):
        assert as_(role).post(address, {"action": "drop"}).status_code == 403
    assert NoiseDecision.objects.filter(current=True, action="keep").count() == 1


# --- one label -------------------------------------------------------------------------------------------------------


def test_one_label_is_sent_to_people_or_kept_in_place(project: Project) -> None:
    comparison = project.comparisons.get(external_id="c29")
    said = {"action": "ask_people", "method": ENTROPY}
    response = as_("curator").post(url("noise-decide", comparison.pk), said, headers={"HX-Request": "true"})

    page = response.content.decode()
    assert f'id="suspect-{comparison.pk}"' in page
    assert "ask people" in page
    comparison.refresh_from_db()
    assert comparison.overlap == 3
    response = as_("curator").post(
        url("noise-decide", comparison.pk), {"action": "flip", "method": ENTROPY}, headers={"HX-Request": "true"}
    )
    assert response.status_code == 422
    assert "expected one of keep" in response.content.decode()


def test_a_label_that_a_method_has_not_scored_is_not_decided_in_its_list(project: Project) -> None:
    comparison = project.comparisons.get(external_id="c29")
    said = {"action": "drop", "method": "rules"}
    response = as_("curator").post(url("noise-decide", comparison.pk), said, headers={"HX-Request": "true"})

    assert response.status_code == 404
    assert not NoiseDecision.objects.exists()


def test_without_scripts_one_comes_back_to_the_same_list(project: Project) -> None:
    comparison = project.comparisons.get(external_id="c29")
    back = url("noise") + "?order=least"
    response = as_("curator").post(url("noise-decide", comparison.pk), {"action": "keep", "back": back})

    assert (response.status_code, response["Location"]) == (302, back)
    assert NoiseDecision.objects.get().action == "keep"


def test_a_comparisons_page_tells_what_was_done_about_its_label(project: Project) -> None:
    comparison = project.comparisons.get(external_id="c29")
    first = treating.decide_one(comparison, "drop", by=one("curator"), because="It is a joke.")
    treating.decide_one(comparison, "keep", by=one("owner"), because="Jokes count.")
    page = as_("viewer").get(url("comparison", comparison.pk)).content.decode()

    for words in ("Jokes count.", "It is a joke.", "replaced or undone since"):
        assert words in page, words
    assert first.undone_at is None


# --- is there anything to find? --------------------------------------------------------------------------------------


def test_how_often_suspects_were_wrong_is_measured_from_people_who_were_asked_again(project: Project) -> None:
    asked = [project.comparisons.get(external_id=f"c{n}") for n in range(20, 26)]
    undone = None
    for comparison in asked:
        undone = treating.decide_one(comparison, "ask_people", by=one("curator"))
    # The label is a. Of those asked: b, b, b, a, a tie that names no side, and nobody yet.
    for comparison, said in zip(asked, (1, 2, 1, -1, 0), strict=False):
        build.make_judgement(comparison, build.make_rater(project), said)
    assert undone is not None

    (share,) = reading.outcomes(project).values()
    assert (share.value, share.n) == (0.75, 4)
    page = as_("viewer").get(url("noise")).content.decode()
    assert "Suspects of consensus entropy that people called wrong" in page
    assert "75%" in page


def make_random(n: int) -> Project:
    """n comparisons on which three people throw a coin each."""
    rng = np.random.default_rng(11)
    project = build.make_project("court", overlap=3)
    build.make_member(project, Role.CURATOR, name="the-curator")
    for number in range(n):
        comparison = build.make_comparison(project, f"c{number:03d}", a=f"one {number}", b=f"other {number}")
        build.make_judgements(comparison, "".join(rng.choice(["A", "B"], size=3)))
    return project


def test_random_labels_have_no_reliability_also_after_those_that_disagree_were_dropped() -> None:
    """The trap: drop every split comparison, and all that is left agrees. Quality is of all that was said."""
    project = make_random(80)
    verbs.run_here("aggregate", project, {"method": "majority"})
    verbs.run_here("noise", project, {"method": ENTROPY})
    rule = {"methods": [ENTROPY], "action": "drop", "at_least": 0.3}
    policy = treating.parse({"rules": [rule], "limits": {"max_dropped": 1}})
    made = treating.apply(project, policy, by=one("curator"), confirmed=True, wake=False)
    ledger.execute(made.run_id or 0)
    made.refresh_from_db()
    assert made.counts["drop"] > 40  # three coins agree once in four
    verbs.run_here("aggregate", project, {"method": "majority"})

    page = as_("curator").get(url("noise")).content.decode()
    assert 'id="no-reliability"' in page
    agreement = reading.quality(project).agreement
    assert agreement.n == 80
    assert agreement.low is not None
    assert agreement.low < 0 < (agreement.high or 0)


def test_labels_that_people_agree_on_are_not_called_random(project: Project) -> None:
    page = as_("viewer").get(url("noise")).content.decode()  # alpha 0.61, from 0.5 to 0.7

    assert 'id="no-reliability"' not in page
    assert "0.61" in page
