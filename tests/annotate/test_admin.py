"""The admin finds and shows rows; it writes none of those that services write."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client

from annotate.models import Judgement
from tests.build import make_comparison, make_judgement, make_project, make_rater, make_token, make_user
from tiebreak.accounts.models import ApiToken

pytestmark = pytest.mark.django_db

SHOWN = [model for model in apps.get_models() if model._meta.app_label in ("annotate", "accounts")]


@pytest.fixture
def client() -> Client:
    user = make_user("root")
    user.is_staff = user.is_superuser = True
    user.save()
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("model", SHOWN, ids=lambda model: model.__name__)
def test_every_registered_list_and_row_can_be_read(client: Client, model: type) -> None:
    meta = model._meta  # type: ignore[attr-defined]
    if model not in admin.site._registry:
        assert meta.model_name in ("membership", "criterion")  # shown inside their project and rubric
        return
    project = make_project(owner=make_user())
    judgement = make_judgement(make_comparison(project), make_rater(project), 1)
    make_token(make_user(), "annotate")
    row = model._default_manager.first() or judgement  # type: ignore[attr-defined]
    assert client.get(f"/admin/{meta.app_label}/{meta.model_name}/?q=a").status_code == 200
    if isinstance(row, model):
        assert client.get(f"/admin/{meta.app_label}/{meta.model_name}/{row.pk}/change/").status_code == 200


def test_a_judgement_cannot_be_changed_or_deleted_there(client: Client) -> None:
    project = make_project()
    judgement = make_judgement(make_comparison(project), make_rater(project), 1)
    url = f"/admin/annotate/judgement/{judgement.pk}"
    assert client.post(f"{url}/change/", {"preference": -1}).status_code == 403
    assert client.post(f"{url}/delete/", {"post": "yes"}).status_code == 403
    assert Judgement.objects.get().preference == 1


def test_the_digest_of_a_token_is_never_shown(client: Client) -> None:
    make_token(make_user(), "annotate")
    token = ApiToken.objects.get()
    body = client.get(f"/admin/accounts/apitoken/{token.pk}/change/").content.decode()
    assert token.prefix in body
    assert token.digest not in body


def test_who_is_there_keeps_their_username(client: Client) -> None:
    # Pseudonyms in published versions are made of it, and a withdrawal finds by it what somebody said.
    user = make_user("ada")
    url = f"/admin/accounts/user/{user.pk}/change/"
    joined = {"date_joined_0": "2026-01-01", "date_joined_1": "10:00:00", "is_active": "on"}
    client.post(url, {"username": "byron", "email": "ada@corp.org"} | joined)
    user.refresh_from_db()
    assert (user.username, user.email) == ("ada", "ada@corp.org")
    assert b'name="username"' in client.get("/admin/accounts/user/add/").content
