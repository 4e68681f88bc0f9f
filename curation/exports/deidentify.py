"""Direct identifiers out of a row's texts, raters' names out of its votes, and metadata as far as it may stay.

What has a form of its own is found: addresses, numbers, accounts. What has none is not: the name of a person, a street,
an employer. It is a filter, not anonymity.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network
from typing import Any, Final, Literal, NamedTuple

from curation.exports.schema import Message, VoteRow

RaterNames = Literal["as-imported", "pseudonyms", "none"]
RATER_NAMES: Final[tuple[RaterNames, ...]] = ("as-imported", "pseudonyms", "none")


class Found(NamedTuple):
    start: int
    end: int
    value: str
    """What two spellings of the same thing have in common."""


Finder = Callable[[str, str], Iterator[Found]]
"""(text, region) -> what is found, from left to right, without overlaps."""


class Deidentifier:
    """Replaces identifiers in the texts of ONE row: make a new one for each row.

    The same value gets the same numbered placeholder, such as `[email-1]`, in every text that this object is given, so
    that a prompt and its completions stay coherent. Numbers follow the order of the texts: give the prompt first.

    `kinds`: names of `KINDS`; "phone" finds numbers in international form, "phone:US" those as they are dialled within
    a country too. Raises ValueError(argument, expected, got).
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        self._asked = _in_order(check_kinds(tuple(kinds)))
        self._names: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()

    def text(self, text: str) -> tuple[str, Counter[str]]:
        """The text with placeholders, and how many were set by kind."""
        counts: Counter[str] = Counter()
        self._taken.update(_PLACEHOLDER.findall(text))
        for kind, region in self._asked:
            text, n = self._without(text, kind, region)
            if n:
                counts[kind] += n
        return text, counts

    def messages(self, messages: Sequence[Message]) -> tuple[list[Message], Counter[str]]:
        """The messages with placeholders in their contents; roles stay."""
        counts: Counter[str] = Counter()
        done: list[Message] = []
        for message in messages:
            content, found = self.text(message["content"])
            done.append({"role": message["role"], "content": content})
            counts += found
        return done, counts

    def metadata(self, text: str) -> tuple[str, Counter[str]]:
        """A JSON object as text, placeholders in its strings; keys stay. Unaltered bytes where nothing is found."""
        counts: Counter[str] = Counter()
        done = self._walk(json.loads(text), counts)
        return (json.dumps(done, ensure_ascii=False, sort_keys=True), counts) if counts else (text, counts)

    def _walk(self, value: Any, counts: Counter[str]) -> Any:
        if isinstance(value, str):
            done, found = self.text(value)
            counts.update(found)
            return done
        if isinstance(value, list):
            return [self._walk(item, counts) for item in value]
        if isinstance(value, dict):
            return {key: self._walk(item, counts) for key, item in value.items()}
        return value

    def _without(self, text: str, kind: str, region: str) -> tuple[str, int]:
        parts: list[str] = []
        done = 0
        for found in KINDS[kind](text, region):
            parts += [text[done : found.start], self._placeholder(kind, found.value)]
            done = found.end
        return ("".join([*parts, text[done:]]), len(parts) // 2) if parts else (text, 0)

    def _placeholder(self, kind: str, value: str) -> str:
        name = self._names.get((kind, value))
        if name is None:
            name = next(name for i in range(1, 1 << 62) if (name := f"[{kind}-{i}]") not in self._taken)
            self._names[kind, value] = name
            self._taken.add(name)
        return name


class Raters:
    """How the people behind the votes are called in ONE version: rows must come in the version's order.

    Pseudonyms are numbered as people first appear, so they cannot be turned back by trying names, and the same rows
    give the same ones anywhere. Judges are models and keep their names.
    """

    def __init__(self, how: RaterNames) -> None:
        if how not in RATER_NAMES:
            raise ValueError("deidentify.raters", f"one of {', '.join(RATER_NAMES)}", how)
        self.how = how
        self._names: dict[tuple[str, str], str] = {}

    def votes(self, votes: Iterable[VoteRow]) -> list[VoteRow]:
        return [{**vote, "rater": self._named(vote["kind"], vote["rater"])} for vote in votes]

    def adjudicator(self, name: str) -> str:
        return self._named("adjudicator", name)

    def _named(self, role: str, name: str) -> str:
        if self.how == "as-imported" or role == "judge":
            return name
        if self.how == "none":
            return role
        if (role, name) not in self._names:
            n = 1 + sum(known == role for known, _ in self._names)
            self._names[role, name] = f"{role}-{n}"
        return self._names[role, name]


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """The kinds as they are. Raises ValueError(argument, expected, got) for one that is not known."""
    if not kinds:
        raise ValueError("deidentify.texts", f"some of {', '.join(KINDS)}", "none")
    for asked in kinds:
        kind, _, region = asked.partition(":")
        if kind not in KINDS or (region and kind != "phone"):
            raise ValueError("deidentify.texts", f"one of {', '.join(KINDS)}", asked)
        if region and region not in _regions():
            raise ValueError("deidentify.texts", "a country of two capital letters, as in phone:US", asked)
    return tuple(kinds)


def _in_order(kinds: Sequence[str]) -> list[tuple[str, str]]:
    """The kinds in the order of `KINDS`, whatever order they were asked in: what is longest looks first."""
    split = [asked.partition(":") for asked in dict.fromkeys(kinds)]
    return [(kind, region) for known in KINDS for kind, _, region in split if kind == known]


_PLACEHOLDER: Final = re.compile(r"\[[a-z]+-\d+\]")

# --- a user and a password in a URL ----------------------------------------------------------------------------------

_LOGIN: Final = re.compile(r"(?<=://)[^\s/?#@\[\]<>\"'`]{1,200}(?=@[\w\[])")


def _logins(text: str, region: str) -> Iterator[Found]:
    if "://" in text:
        yield from (Found(*m.span(), m[0]) for m in _LOGIN.finditer(text))


# --- e-mail addresses -------------------------------------------------------------------------------------------------

_EMAIL: Final = re.compile(
    r"(?<![\w.%+/\-])[\w][\w.%+'\-]{0,63}@"  # nobody's local part starts in the middle of a word or a path
    r"((?:[^\W_](?:[^\W_]|-){0,62}\.){1,8}[^\W\d_]{2,24})"
    r"(?![\w(\[-]|\.[^\W_]|:[\w~/])"  # calls, subscripts and `git@host:path` are code
)
# Reserved for examples and tests (RFC 2606, 6761): they are nobody's.
_NOBODYS: Final = re.compile(
    r"(?:^|\.)(?:example\.(?:com|org|net|edu)|(?:.+\.)?(?:example|test|invalid|localhost|local))$", re.IGNORECASE
)
# `logo@2x.png`, `left-pad@1.3.0-rc`, `weights@self.out`: a picture, a release, a product of matrices.
_NO_DOMAIN: Final = re.compile(
    r"^(?:[1-4]x\.\w+|v?\d+\.\d+.*|self\..*|.*\.(?:png|jpe?g|gif|svg|webp|css|js|ts|py|json|html?))$", re.I
)


def _emails(text: str, region: str) -> Iterator[Found]:
    if "@" not in text:
        return
    for m in _EMAIL.finditer(text):
        if not _NOBODYS.search(m[1]) and not _NO_DOMAIN.match(m[1]):
            yield Found(*m.span(), m[0].casefold())


# --- bank accounts ----------------------------------------------------------------------------------------------------

_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}")
# Characters of an account in each country: the IBAN registry (ISO 13616, SWIFT).
IBAN_LENGTHS: Final[Mapping[str, int]] = {
    country: int(length)
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC",
        32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


def _ibans(text: str, region: str) -> Iterator[Found]:
    at = 0
    while m := _IBAN.search(text, at):
        end = _iban_end(text, m.start(), m.end())
        value = re.sub(r"[ -]", "", text[m.start() : end]) if end else ""
        if _iban_holds(value):
            yield Found(m.start(), end, value)
            at = end
        else:
            at = m.start() + 1


def _iban_end(text: str, start: int, stop: int) -> int:
    """Where as many characters are read as an account of its country has; 0 where they are not, or a word goes on."""
    left = IBAN_LENGTHS.get(text[start : start + 2], 0)
    for at in range(start, stop):
        left -= text[at] not in " -"
        if left == 0:
            return 0 if text[at + 1 : at + 2].isalnum() else at + 1
    return 0


def _iban_holds(value: str) -> bool:
    """ISO 7064, MOD 97-10: the first four characters behind the rest, letters as 10 to 35, leave 1."""
    return bool(value) and int("".join(str(int(c, 36)) for c in value[4:] + value[:4])) % 97 == 1


# --- payment cards ----------------------------------------------------------------------------------------------------

_CARD: Final = re.compile(
    r"(?<![\w.\-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5})(?![\w\-]|\.\d)"
)
# The networks' first digits, with the lengths that they issue.
_NETWORKS: Final = re.compile(
    r"4\d{15}(?:\d{3})?"  # Visa
    r"|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|(?:6011|64[4-9]\d|65\d{2})\d{12}(?:\d{3})?"  # Discover
    r"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    r"|62\d{14,17}"  # UnionPay
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{12,15}"  # Maestro
)


def _cards(text: str, region: str) -> Iterator[Found]:
    for m in _CARD.finditer(text):
        digits = re.sub(r"[ -]", "", m[0])
        if digits.isascii() and _NETWORKS.fullmatch(digits) and luhn(digits):
            yield Found(*m.span(), digits)


def luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1: every second digit from the right doubled, its digits summed, 0 modulo 10."""
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 * (d > 9) for d in doubled) % 10 == 0


# --- IP addresses -----------------------------------------------------------------------------------------------------

_IPV4: Final = re.compile(r"(?<![\w.\-])(?:\d{1,3}\.){3}\d{1,3}(?![\w\-]|\.\w)")
_IPV6: Final = re.compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:]|\.\w)")
# Four numbers that are no address: a release, a section, `Chrome/12.0.0.1`.
_NUMBERED: Final = re.compile(
    r"(?:[A-Za-z]/|[=~<>!]=\s?|\b(?:v|ver|version|release|rel|rev|build|section|sec|chapter|clause|§)\.?\s{0,2})$", re.I
)
SMALL: Final = 16  # "Firefox 2.0.0.1": of all addresses one in 65,536 has no larger number
_UNICAST: Final = IPv6Network("2000::/3")


def _addresses(text: str, region: str) -> Iterator[Found]:
    """Addresses of the public internet: private, local and documentation ranges are nobody's."""
    found = [f for m in _IPV4.finditer(text) if (f := _ipv4(text, m))] if text.count(".") > 2 else []
    if text.count(":") > 1:
        found += [f for m in _IPV6.finditer(text) if (f := _ipv6(m))]
    yield from sorted(found)


def _ipv4(text: str, m: re.Match[str]) -> Found | None:
    if _NUMBERED.search(text[max(0, m.start() - 16) : m.start()]) or all(int(n) < SMALL for n in m[0].split(".")):
        return None
    try:
        address = IPv4Address(m[0])
    except AddressValueError:
        return None
    return Found(*m.span(), str(address)) if address.is_global and not address.is_multicast else None


def _ipv6(m: re.Match[str]) -> Found | None:
    try:
        address = IPv6Address(m[0])
    except AddressValueError:
        return None
    return Found(*m.span(), str(address)) if address.is_global and address in _UNICAST else None


# --- telephone numbers ------------------------------------------------------------------------------------------------

_DIALLED: Final = re.compile(r"\+[\s(]{0,2}\d|\d\D{0,3}\d\D{0,3}\d\D{0,3}\d\D{0,3}\d\D{0,3}\d\D{0,3}\d")
_GROUPED: Final = re.compile(r"^\+|\d[\s().\-/\u00a0\u2010-\u2014]+\d")
_INSIDE: Final = re.compile(r"[\w.\-/#@]$")


def _phones(text: str, region: str) -> Iterator[Found]:
    """Numbers that could be dialled, by the plans of all countries; within a country only where digits are grouped."""
    if not (_DIALLED.search(text) if region else "+" in text):
        return
    from phonenumbers import Leniency, PhoneNumberFormat, PhoneNumberMatcher, format_number

    leniency = Leniency.STRICT_GROUPING if region else Leniency.VALID
    for match in PhoneNumberMatcher(text, region or None, leniency=leniency):
        dialled = match.raw_string
        if _GROUPED.search(dialled) and not _INSIDE.search(text[max(0, match.start - 1) : match.start]):
            opened = dialled.startswith("(") and ")" not in dialled
            yield Found(match.start + opened, match.end, format_number(match.number, PhoneNumberFormat.E164))


def _regions() -> set[str]:
    from phonenumbers import SUPPORTED_REGIONS

    return set(SUPPORTED_REGIONS)


KINDS: Final[Mapping[str, Finder]] = {
    "login": _logins,
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "ip": _addresses,
    "phone": _phones,
}
