"""The bounds of the budget: a number that nobody can mean is refused by its field, before it breaks a page."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from curation.models import BudgetGrant, RoutingDecision, RoutingSettings
from curation.services import budgeting, verbs
from tests.build import make_comparison, make_judgement, make_member, make_project, make_rater, make_token
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Invalid

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seconds", 1e-320),
        ("seconds", 86_400.1),
        ("seconds", float("nan")),
        ("hourly_rate", Decimal("100000.0001")),
        ("hourly_rate", Decimal("NaN")),
    ],
)
def test_settings_that_nobody_can_mean_are_refused_by_their_field(field: str, value: Any) -> None:
    with pytest.raises(Invalid, match=f"^{field}:") as refused:
        budgeting.configure(make_project(), by=None, **{field: value})
    assert refused.value.params["field"] == field
    assert not RoutingSettings.objects.exists()


@pytest.mark.parametrize(("field", "value"), [("hours", 1e308), ("hours", float("inf")), ("money", Decimal("-1e10"))])
def test_a_grant_that_nobody_can_mean_is_refused_by_its_field(field: str, value: Any) -> None:
    given: dict[str, Any] = {"money": Decimal(0), "hours": 0.0, field: value}
    with pytest.raises(Invalid, match=f"^{field}:"):
        budgeting.grant(make_project(), note="", by=None, **given)
    assert not BudgetGrant.objects.exists()


def test_forms_and_rest_refuse_what_the_service_refuses() -> None:
    curator = make_member(make_project("chat"), Role.CURATOR)
    token = make_token(curator, "curate")
    web, rest = Client(), Client(headers={"Authorization": f"Bearer {token}"})
    web.force_login(curator)
    settings = {"hourly_rate": "50", "currency": "USD", "seconds": "86400000"}
    assert web.post(reverse("routing-settings", args=["chat"]), settings).status_code == 422
    assert web.post(reverse("routing-grant", args=["chat"]), {"hours": "1e308"}).status_code == 422
    budget = "/api/v1/projects/chat/routing/budget/"
    assert rest.post(budget, {"hours": 1e308}, content_type="application/json").status_code == 422
    assert rest.get(budget).json()["hours"] is None
    assert not RoutingSettings.objects.exists()


def test_the_smallest_price_and_the_most_money_are_still_a_number_of_judgements() -> None:
    project = make_project()
    make_comparison(project)
    budgeting.configure(project, by=None, hourly_rate=Decimal("0.0001"), seconds=0.1)
    for _ in range(20):
        budgeting.grant(project, money=Decimal(10**9), hours=0.0, note="", by=None)
    assert budgeting.ledger(project).judgements == budgeting.MOST
    assert verbs.run_here("route", project, {"policy": "random"}).status == "succeeded"


def test_the_highest_price_of_every_seat_is_stored_with_its_decision() -> None:
    project = make_project(overlap=3)
    make_comparison(project)
    budgeting.configure(project, by=None, hourly_rate=Decimal(100_000), seconds=86_400.0)
    asked = {"policy": "random", "audit": 0, "exploration": 0}
    assert verbs.run_here("route", project, asked).status == "succeeded"
    assert RoutingDecision.objects.get().price == 3 * 24 * 100_000


def test_a_median_that_nobody_can_mean_prices_as_the_nearest_bound() -> None:
    project = make_project()
    make_judgement(make_comparison(project), make_rater(project), 1, form=project.forms.get(), seconds=1e-9)
    told = budgeting.ledger(project)
    assert (told.seconds, told.seconds_from) == (0.1, "measured")
