"""Direct identifiers in texts, names of raters, metadata: what goes, and what must stay."""

from __future__ import annotations

import json
import re

import pytest

from curation.exports.deidentify import IBAN_LENGTHS, KINDS, Deidentifier, Raters, check_kinds, luhn
from curation.exports.schema import VoteRow

ALL = tuple(KINDS)


def without(text: str, *kinds: str) -> str:
    return Deidentifier(kinds or ALL).text(text)[0]


def vote(rater: str, kind: str = "annotator") -> VoteRow:
    return {"rater": rater, "kind": kind, "preference": 1.0, "both_bad": False, "order": "ab"}


# Numbers of companies' own examples, of the registries' documents, and of ranges that were never given to anybody.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to anna.berg@firma.de, please.", "Write to [email-1], please."),
        ("<mailto:anna+news@firma.co.uk>", "<mailto:[email-1]>"),
        ("jörg@müller.de wrote", "[email-1] wrote"),
        ("mail a@b.cd: thanks", "mail [email-1]: thanks"),
        ("https://anna:s3cret@firma.de/x", "https://[login-1]@firma.de/x"),
        ("ftp://anna@firma.de", "ftp://[login-1]@firma.de"),
        # The example of the IBAN registry for Germany and the United Kingdom, spaced and not.
        ("DE89 3704 0044 0532 0130 00 is mine", "[iban-1] is mine"),
        ("to GB82WEST12345698765432.", "to [iban-1]."),
        ("BE68 5390 0754 7034 then", "[iban-1] then"),  # four groups of four, and a word of four letters after
        ("NO93 8601 1117 947", "[iban-1]"),  # the shortest there is
        # The networks' test numbers: Visa, American Express (4-6-5), Mastercard of the second series, Maestro.
        ("card 4111 1111 1111 1111, exp 12/29", "card [card-1], exp 12/29"),
        ("4111-1111-1111-1111", "[card-1]"),
        ("3782 822463 10005", "[card-1]"),
        ("2223003122003222", "[card-1]"),
        ("6759649826438453", "[card-1]"),
        ("failed login from 93.184.216.34:8080", "failed login from [ip-1]:8080"),
        ("http://93.184.216.34/x", "http://[ip-1]/x"),
        ("at 2a00:1450:4001:81b::200e now", "at [ip-1] now"),
        ("call +49 151 23456789.", "call [phone-1]."),
        ("(+1 650-253-0000)", "([phone-1])"),
        ("tel=+16502530000", "tel=[phone-1]"),
    ],
)
def test_what_has_the_form_of_an_identifier_is_replaced(text: str, expected: str) -> None:
    assert without(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "git clone git@github.com:org/repo.git",
        "user@example.com and root@localhost, support@shop.example",  # reserved for examples: nobody's
        "@app.route('/x')\ndef x(): ...",
        "![logo](logo@2x.png)",
        "npm i left-pad@1.3.0-rc react@18.2.0",
        "y = W@x.mean(axis=0) + A@B.T",
        "h = data@self.weights",
        "https://firma.de/@anna/posts?at=a@b",
        "Mozilla/5.0 Chrome/120.0.0.1 Safari/537.36",
        "Firefox 2.0.0.1, version 1.22.33.44, v8.8.44.4, pkg-1.2.3.4.tar.gz, tool==1.22.33.44, section 3.1.2.4",
        "127.0.0.1, 192.168.1.10, 10.0.0.1, 0.0.0.0, 203.0.113.7",  # local, private, and for documentation
        "std::vector<a::b> x; at 12:30:45; aa:bb:cc:dd:ee:ff; 2001:db8::1",
        "on 2024-01-15 10:20:30, 15.01.2024, 01/15/2024",
        "order 1234567890123456, invoice 2024-000123-77, ISBN 978-3-16-148410-0",
        "4111 1111 1111 1112",  # the check digit is wrong
        "4111-1111 1111-1111",  # nobody writes a card so
        "3.1415926535897932 0.4111111111111111 0x4111111111111111",
        "1700000000000 and 550e8400-e29b-41d4-a716-446655440000",
        "DE88 3704 0044 0532 0130 00",  # MOD 97-10 leaves 0, not 1
        "XX89 3704 0044 0532 0130 00",  # no such country
        "a[i]+1234567 and x = 5 +4915 * 3 and C++11 2 + 2",
    ],
)
def test_code_versions_dates_and_order_numbers_stay(text: str) -> None:
    assert without(text) == text


@pytest.mark.parametrize(
    ("region", "text", "expected"),
    [
        ("US", "(415) 555-2671 or 415-555-2671", "[phone-1] or [phone-1]"),
        ("DE", "0151 23456789", "[phone-1]"),
        ("DE", "+1 650-253-0000 too", "[phone-1] too"),
        ("US", "order 4155552671, #415-555-2671", "order 4155552671, #415-555-2671"),
        ("US", "id 415-555-2671-99", "id 415-555-2671-99"),
        ("US", "2024-01-15, $1,415,555,267", "2024-01-15, $1,415,555,267"),
        ("DE", "12.11.2024, 10.000.000 Euro, 192.168.0.100", "12.11.2024, 10.000.000 Euro, 192.168.0.100"),
    ],
)  # fmt: skip
def test_numbers_as_they_are_dialled_within_a_country_are_found_where_it_is_named(
    region: str, text: str, expected: str
) -> None:
    assert without(text, f"phone:{region}") == expected


def test_without_a_country_only_international_numbers_are_found() -> None:
    assert without("(415) 555-2671, +1 415 555 2671", "phone") == "(415) 555-2671, [phone-1]"


def test_one_value_has_one_number_in_all_texts_of_a_row_however_it_is_spelt() -> None:
    row = Deidentifier(ALL)
    prompt, _ = row.messages([{"role": "user", "content": "I am anna@firma.de, call +49 151 23456789"}])
    answer, counts = row.messages(
        [{"role": "assistant", "content": "Dear ANNA@firma.de or ben@firma.de: (+49) 151/23456789"}]
    )
    assert prompt[0]["content"] == "I am [email-1], call [phone-1]"
    assert answer == [{"role": "assistant", "content": "Dear [email-1] or [email-2]: [phone-1]"}]
    assert counts == {"email": 2, "phone": 1}
    assert without("ben@firma.de") == "[email-1]"  # another row begins anew


def test_a_placeholder_that_stands_in_the_text_is_nobody_elses_number() -> None:
    assert without("[email-1] wrote to anna@firma.de") == "[email-1] wrote to [email-2]"
    assert without("[email-1] wrote") == "[email-1] wrote"


def test_only_the_kinds_asked_for_are_replaced_whatever_their_order() -> None:
    text = "anna@firma.de +49 151 23456789 DE89 3704 0044 0532 0130 00"
    assert without(text, "email") == "[email-1] +49 151 23456789 DE89 3704 0044 0532 0130 00"
    assert without(text, "phone", "iban", "email") == without(text, "email", "iban", "phone")


@pytest.mark.parametrize(
    ("kinds", "got"),
    [((), "none"), (("mail",), "mail"), (("email:US",), "email:US"), (("phone:XX",), "phone:XX")],
)
def test_a_kind_that_is_not_known_is_refused_by_name(kinds: tuple[str, ...], got: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_kinds(kinds)
    assert refused.value.args[0] == "deidentify.texts"
    assert refused.value.args[2] == got


def test_texts_that_are_all_traps_take_no_more_than_their_length() -> None:
    """Quadratic, each of these would take minutes: 100,000 characters squared are ten thousand million steps."""
    for trap in ("a.a.", "a@", "4111 ", "1.", "2001:", "GB82 ", "://a", "[email-1]"):
        text = (trap * (100_000 // len(trap) + 1))[:100_000]
        assert without(text, "login", "email", "iban", "card", "ip") == text


def test_the_check_digits_are_those_of_the_standards() -> None:
    # 7992739871 with each second digit from the right doubled, beginning left of the check digit: 67, so 3 makes 70.
    assert [n for n in range(10) if luhn(f"7992739871{n}")] == [3]
    # MOD 97-10 has one pair of check digits for each account; the registry's is 89.
    accounts = [f"DE{n:02} 3704 0044 0532 0130 00" for n in range(2, 99)]
    assert [a for a in accounts if without(a, "iban") != a] == ["DE89 3704 0044 0532 0130 00"]
    assert (IBAN_LENGTHS["NO"], IBAN_LENGTHS["DE"], IBAN_LENGTHS["RU"]) == (15, 22, 33)


def test_metadata_loses_what_its_strings_hold_and_keeps_its_bytes_where_there_is_nothing() -> None:
    row = Deidentifier(ALL)
    row.text("anna@firma.de")
    found, counts = row.metadata('{"by": "anna@firma.de", "deep": [{"n": 1, "x": "ok"}], "anna@firma.de": true}')
    assert json.loads(found) == {"by": "[email-1]", "deep": [{"n": 1, "x": "ok"}], "anna@firma.de": True}
    assert counts == {"email": 1}
    assert row.metadata('{"b":1,  "a":2}') == ('{"b":1,  "a":2}', {})


def test_pseudonyms_are_numbered_as_people_first_appear_and_models_keep_their_names() -> None:
    raters = Raters("pseudonyms")
    assert [v["rater"] for v in raters.votes([vote("zoe"), vote("anna"), vote("gpt v1", "judge")])] == [
        "annotator-1",
        "annotator-2",
        "gpt v1",
    ]
    assert [v["rater"] for v in raters.votes([vote("ben"), vote("zoe")])] == ["annotator-3", "annotator-1"]
    assert raters.adjudicator("zoe") == "adjudicator-1"  # another role: the two cannot be put together


def test_names_are_kept_or_left_out_as_asked_and_the_given_votes_are_not_altered() -> None:
    given = [vote("zoe")]
    assert Raters("as-imported").votes(given) == given
    assert Raters("none").votes(given) == [vote("annotator")]
    assert given == [vote("zoe")]
    with pytest.raises(ValueError, match=re.escape("deidentify.raters")):
        Raters("some")  # type: ignore[arg-type]
