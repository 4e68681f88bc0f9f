"""The names of states, kinds and roles, as people read them in their language."""

from __future__ import annotations

from typing import Final

from django.utils.functional import lazy
from django.utils.translation import gettext, gettext_noop

NAMES: Final = frozenset(
    {
        gettext_noop("open"),
        gettext_noop("disputed"),
        gettext_noop("settled"),
        gettext_noop("withdrawn"),
        gettext_noop("people"),
        gettext_noop("judge"),
        gettext_noop("queued"),
        gettext_noop("running"),
        gettext_noop("succeeded"),
        gettext_noop("failed"),
        gettext_noop("cancelled"),
        gettext_noop("draft"),
        gettext_noop("approved"),
        gettext_noop("retired"),
        gettext_noop("building"),
        gettext_noop("ready"),
        gettext_noop("candidate"),
        gettext_noop("parsed"),
        gettext_noop("unparsed"),
        gettext_noop("keep"),
        gettext_noop("soften"),
        gettext_noop("ask people"),
        gettext_noop("drop"),
        gettext_noop("flip"),
        gettext_noop("accepted"),
        gettext_noop("corrected"),
        gettext_noop("returned"),
        gettext_noop("high"),
        gettext_noop("some"),
        gettext_noop("little"),
        gettext_noop("unknown"),
        gettext_noop("ahead"),
        gettext_noop("leased"),
        gettext_noop("submitted"),
        gettext_noop("skipped"),
        gettext_noop("expired"),
        gettext_noop("released"),
        gettext_noop("pairwise"),
        gettext_noop("rubric"),
        gettext_noop("reward model"),
        gettext_noop("hard rule"),
        gettext_noop("principle"),
        gettext_noop("owner"),
        gettext_noop("curator"),
        gettext_noop("adjudicator"),
        gettext_noop("annotator"),
        gettext_noop("viewer"),
        gettext_noop("active"),
        gettext_noop("admitted"),
        gettext_noop("refused"),
        gettext_noop("too little gold"),
        gettext_noop("Least certain first"),
        gettext_noop("Greatest learned gain"),
        gettext_noop("Next judgement where it pays"),
        gettext_noop("At random"),
        gettext_noop("added"),
        gettext_noop("removed"),
        gettext_noop("flipped"),
        gettext_noop("moved"),
        gettext_noop("changed"),
    }
)


def in_words(name: str) -> str:
    """A code name as words, in the reader's language where it is one of `NAMES`."""
    plain = name.replace("_", " ").replace("-", " ")
    return gettext(plain) if plain in NAMES else plain


lazily = lazy(in_words, str)
"""`in_words`, said anew in the language of each reader."""
