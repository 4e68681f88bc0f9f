"""A person's language: chosen once, spoken on every device; its direction is the page's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest
from babel.messages import Message, mofile, pofile
from django.conf import settings
from django.test import Client

from tests import build
from tiebreak.accounts.models import User

pytestmark = pytest.mark.django_db
LOCALE = Path(settings.LOCALE_PATHS[0])
TRANSLATED = [code for code, _ in settings.LANGUAGES if code != "en"]
FILLED_IN: Final = re.compile(r"%\(\w+\)s|\{\w+\}|%%|</?\w+")


def signed_in(user: User | None = None) -> Client:
    client = Client()
    client.force_login(user or build.make_user("amal"))
    return client


def test_a_choice_is_kept_with_the_person_and_spoken_on_another_device() -> None:
    amal = build.make_user("amal")
    client = signed_in(amal)
    assert client.post("/language/", {"language": "ar", "next": "/"}).headers["Location"] == "/"
    assert '<html lang="ar" dir="rtl"' in client.get("/").content.decode()
    amal.refresh_from_db()
    assert '<html lang="ar" dir="rtl"' in signed_in(amal).get("/").content.decode()


def test_a_browser_without_a_choice_is_answered_in_its_own_language_where_we_speak_it() -> None:
    client = signed_in()
    assert '<html lang="ja" dir="ltr"' in client.get("/", headers={"Accept-Language": "ja"}).content.decode()
    assert '<html lang="en" dir="ltr"' in client.get("/", headers={"Accept-Language": "tlh"}).content.decode()


def test_an_unknown_language_changes_nothing_and_no_other_site_is_gone_to() -> None:
    client = signed_in()
    answer = client.post("/language/", {"language": "xx", "next": "https://elsewhere.example/"})
    assert answer.headers["Location"] == "/"
    assert '<html lang="en"' in client.get("/").content.decode()


def said(messages: Iterable[Message]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """What is translated: each text with its plural, and all that the language says for it."""
    pairs = ((_texts(m.id), _texts(m.string)) for m in messages if m.id and not m.fuzzy)
    return {wanted: given for wanted, given in pairs if all(given)}


def _texts(text: str | Iterable[str] | None) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text or ("",))


def written(code: str) -> dict[tuple[str, ...], tuple[str, ...]]:
    with (LOCALE / code / "LC_MESSAGES" / "django.po").open("rb") as po:
        return said(pofile.read_po(po))


@pytest.mark.parametrize("code", TRANSLATED)
def test_what_is_compiled_is_what_is_written(code: str) -> None:
    with (LOCALE / code / "LC_MESSAGES" / "django.mo").open("rb") as mo:
        compiled = said(mofile.read_mo(mo))
    assert compiled == written(code), "run: make messages"
    assert len(compiled) >= 1000


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_translation_names_only_what_the_text_gives_and_the_form_for_many_names_all_of_it(code: str) -> None:
    for wanted, given in written(code).items():
        there = set(FILLED_IN.findall(" ".join(wanted)))
        assert all(set(FILLED_IN.findall(text)) <= there for text in given), given
        assert set(FILLED_IN.findall(given[-1])) == there, given
