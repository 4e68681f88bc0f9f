"""One record in, comparisons out; or the field that cannot be taken, with what was expected."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from annotate import formats
from annotate.formats import RowError, hh_rlhf, rows, trl

ROW: dict[str, Any] = {"id": "r1", "prompt": "Why?", "completion_a": "Because.", "completion_b": "No reason."}


def one(**changes: Any) -> formats.Row:
    (row,) = rows.parse({**ROW, **changes}, "file")
    return row


def refused(parse: Any, record: Any) -> tuple[str, str]:
    with pytest.raises(RowError) as caught:
        parse(record, "file")
    return caught.value.field, caught.value.message


def canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def test_text_becomes_one_message_and_is_kept_to_the_letter() -> None:
    row = one(prompt="  Why?\r\n")
    assert row.prompt.messages == ({"role": "user", "content": "  Why?\r\n"},)
    assert row.prompt.is_text
    assert row.a.turns.messages == ({"role": "assistant", "content": "Because."},)


def test_the_group_is_the_hash_of_the_prompt_unless_given() -> None:
    assert one().group == one(id="other", completion_a="x").group == one().prompt.sha256
    assert one(group="topic").group == "topic"


def test_a_text_and_the_same_text_as_a_message_are_one_prompt() -> None:
    assert one(prompt=[{"role": "user", "content": "Why?"}]).prompt.sha256 == one().prompt.sha256


def test_the_content_hash_changes_with_everything_that_is_stored_and_with_nothing_else() -> None:
    said = [{"rater": "ann", "kind": "annotator", "preference": 1}]
    assert one().content_sha256 == one(metadata={}, gold=None, reference=None).content_sha256
    changes: list[dict[str, Any]] = [
        {"completion_b": "?"}, {"generator_a": "m"}, {"group": "g"}, {"reference": "r"}, {"context": "c"},
        {"metadata": {"a": 1}}, {"gold": 0}, {"judgements": said},
    ]  # fmt: skip
    assert len({one(**c).content_sha256 for c in [{}, *changes]}) == len(changes) + 1


def test_two_outputs_that_read_the_same_stay_two_completions() -> None:
    alike = one(completion_b="Because.")
    assert alike.sha256_a != alike.sha256_b
    assert one(completion_b="Because.", generator_b="m").sha256_b == alike.sha256_a  # told apart by their generators


def test_a_judgement_keeps_what_was_said_in_terms_of_a_and_b() -> None:
    said = {
        "rater": "ann", "kind": "annotator", "preference": -2, "aspects": {"clarity": 1, "depth": None},
        "reasons": ["shorter"], "justification": "x", "seconds": 3, "order": "ba",
        "submitted_at": "2026-01-31T17:59:52+01:00",
    }  # fmt: skip
    (judgement,) = one(judgements=[said]).judgements
    assert (judgement.preference, judgement.aspects, judgement.order) == (-2, {"clarity": 1}, "ba")
    assert judgement.submitted_at == datetime(2026, 1, 31, 16, 59, 52, tzinfo=UTC)


def test_a_null_preference_is_unparsed_and_never_a_tie() -> None:
    (judgement,) = one(judgements=[{"rater": "gpt", "kind": "judge", "preference": None}]).judgements
    assert judgement.preference is None
    assert judgement.unparsed_because == rows.UNPARSED


def test_both_bad_needs_no_preference_and_no_excuse() -> None:
    (judgement,) = one(judgements=[{"rater": "ann", "kind": "annotator", "both_bad": True}]).judgements
    assert (judgement.preference, judgement.both_bad, judgement.unparsed_because) == (None, True, "")


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"id": None}, "id", "got nothing"),
        ({"id": "x" * 201}, "id", "at most 200"),
        ({"id": 7}, "id", "got int"),
        ({"prompt": None}, "prompt", "a text or a list of messages"),
        ({"prompt": ""}, "prompt", "an empty text"),
        ({"prompt": "a\x00b"}, "prompt", "NUL"),
        ({"prompt": "\ud800"}, "prompt", "surrogate"),
        ({"prompt": "x" * 5_000_000}, "prompt", "at most 1,000,000 characters, got 5,000,000"),
        ({"prompt": []}, "prompt", "at least one message"),
        ({"prompt": [{"role": "user"}]}, "prompt[0]", "role and content"),
        ({"prompt": [{"role": "human", "content": "x"}]}, "prompt[0].role", "one of system, user"),
        ({"completion_a": None}, "completion_a", "got nothing"),
        ({"completion_b": [{"role": "user", "content": "x"}]}, "completion_b", "the assistant's"),
        ({"metadata": [1]}, "metadata", "an object"),
        ({"metadata": {"deep": {"nul": "\x00"}}}, "metadata.deep.nul", "NUL"),
        ({"gold": 4}, "gold", "from -3 to 3"),
        ({"gold": True}, "gold", "an integer"),
        ({"gold": 0.5}, "gold", "an integer"),
        ({"judgments": []}, "judgments", "known: id, prompt"),
        ({"pairs": "all"}, "pairs", "beside completions"),
        ({"judgements": {}}, "judgements", "a list"),
        ({"judgements": [{"kind": "judge", "preference": 1}]}, "judgements[0].rater", "got nothing"),
        ({"judgements": [{"rater": "x", "preference": 1}]}, "judgements[0].kind", "annotator or judge"),
        ({"judgements": [{"rater": "x", "kind": "judge"}]}, "judgements[0].preference", "or null"),
        ({"judgements": [{"rater": "x", "kind": "judge", "preference": 9}]}, "judgements[0].preference", "got 9"),
    ],
)
def test_a_row_that_cannot_be_taken_names_the_field_and_what_was_expected(
    changes: dict[str, Any], field: str, words: str
) -> None:
    named, message = refused(rows.parse, {**ROW, **changes})
    assert named == field
    assert words in message


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("order", "left", "expected ab, ba"),
        ("both_bad", "yes", "true or false"),
        ("submitted_at", "soon", "ISO 8601"),
        ("submitted_at", "0001-01-01T00:00:00+05:00", "ISO 8601"),  # before the first year, in UTC
        ("seconds", -1, "from 0"),
        ("seconds", 1e308, "a finite number"),
        ("probability_b", 1.5, "from 0 to 1"),
        ("aspects", {"depth": 5}, "from -3 to 3"),
        ("reasons", [""], "got nothing"),
        ("unparsed_because", "cut", "beside a null preference"),
    ],
)
def test_a_judgement_that_cannot_be_taken_names_its_place(field: str, value: Any, words: str) -> None:
    said = {"rater": "x", "kind": "judge", "preference": 1, field: value}
    named, message = refused(rows.parse, {**ROW, "judgements": [said]})
    assert named.startswith(f"judgements[0].{field}")
    assert words in message


@pytest.mark.parametrize("record", [None, 7, "text", []])
def test_a_record_that_is_no_object_is_refused(record: Any) -> None:
    for parse in (rows.parse, trl.parse, hh_rlhf.parse):
        assert refused(parse, record)[0] == "row"


MANY = {
    "id": "p",
    "prompt": "Why?",
    "completions": [
        {"id": "x", "text": "X", "generator": "m1", "rank": 2},
        {"id": "y", "text": "Y", "generator": "m2", "rank": 1, "score": 0.5},
        {"id": "z", "text": "Z", "generator": "m1", "rank": 2},
    ],
}


def test_completions_make_all_pairs_or_the_given_ones() -> None:
    assert [r.id for r in rows.parse(MANY, "file")] == ["p/x~y", "p/x~z", "p/y~z"]
    (given,) = rows.parse({**MANY, "pairs": [["z", "x"]]}, "file")
    assert (given.id, given.a.id, given.b.id, given.judgements) == ("p/z~x", "z", "x", ())


@pytest.mark.parametrize("pairs", ["all", "rank", [["0", "1"], ["1", "2"], ["0", "2"]]])
def test_a_record_that_would_make_millions_of_comparisons_is_refused_before_it_does(
    pairs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST_PAIRS", 2)
    many = [{"id": str(n), "text": "x", "rank": n} for n in range(3)]  # three pairs
    field, message = refused(rows.parse, {"id": "r", "prompt": "Why?", "completions": many, "pairs": pairs})
    assert field == ("pairs" if isinstance(pairs, list) else "completions")
    assert "at most 2 pairs" in message


def test_pairs_by_rank_skip_equal_ranks_and_carry_the_preference() -> None:
    # y is first; x and z share a rank, so only y against x and y against z say anything.
    made = rows.parse({**MANY, "pairs": "rank"}, "study")
    assert [r.id for r in made] == ["p/y~x", "p/y~z"]
    for row in made:
        (said,) = row.judgements
        assert (row.a if said.preference == -1 else row.b).id == "y"
        assert (said.rater, said.kind) == ("study", "annotator")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"pairs": [["x", "q"]]}, "pairs[0]"),
        ({"pairs": [["x", "x"]]}, "pairs[0]"),
        ({"pairs": [["x", "y"], ["y", "x"]]}, "pairs[1]"),
        ({"pairs": "best"}, "pairs"),
        ({"gold": 1}, "gold"),
        ({"completion_a": "x"}, "completion_a"),
        ({"completions": [{"id": "x", "text": "X"}]}, "completions"),
        ({"completions": [{"id": "x", "text": "X"}, {"id": "x", "text": "Y"}]}, "completions"),
        ({"completions": [{"id": "x", "text": "X"}, {"id": "y", "text": "Y"}], "pairs": "rank"}, "completions[0].rank"),
        ({"completions": [{"id": "x", "text": "X"}, {"text": "Y"}]}, "completions[1].id"),
    ],
)
def test_completions_that_make_no_pair_are_refused(changes: dict[str, Any], field: str) -> None:
    assert refused(rows.parse, {**MANY, **changes})[0] == field


# trl

USER = {"role": "user", "content": "hi"}
GOOD = {"role": "assistant", "content": "good"}
BAD = {"role": "assistant", "content": "bad"}


def better_of(row: formats.Row) -> formats.Completion:
    return row.b if (row.judgements[0].preference or 0) > 0 else row.a


def test_trl_texts_become_a_comparison_with_the_preference_as_one_judgement() -> None:
    (row,) = trl.parse({"prompt": "Why?", "chosen": "good", "rejected": "bad", "score": 3}, "ultra")
    assert better_of(row).turns.text == "good"
    assert [(j.rater, j.kind, abs(j.preference or 0)) for j in row.judgements] == [("ultra", "annotator", 1)]
    assert row.gold is None
    assert row.metadata == {"score": 3}


def test_the_chosen_side_is_not_always_a_and_depends_on_the_id_alone() -> None:
    # 200 fair coins: between 70 and 130 with a false-alarm rate below 1e-4.
    sides = [trl.parse({"id": f"i{n}", "prompt": "?", "chosen": "c", "rejected": "r"}, "f")[0] for n in range(200)]
    assert 70 < sum(better_of(row) is row.b for row in sides) < 130
    again = [trl.parse({"id": f"i{n}", "prompt": "?", "chosen": "c", "rejected": "r"}, "f")[0] for n in range(200)]
    assert sides == again


def test_trl_without_a_prompt_takes_the_shared_beginning_of_the_messages() -> None:
    (row,) = trl.parse({"chosen": [USER, GOOD], "rejected": [USER, BAD]}, "f")
    assert row.prompt.messages == (USER,)
    assert better_of(row).turns.messages == (GOOD,)


def test_trl_sides_that_repeat_the_prompt_are_stored_without_it() -> None:
    (row,) = trl.parse({"prompt": "hi", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "f")
    assert better_of(row).turns.messages == (GOOD,)


def test_without_an_id_the_content_names_the_row() -> None:
    record = {"prompt": "Why?", "chosen": "good", "rejected": "bad"}
    assert trl.parse(record, "f")[0].id == trl.parse(record, "g")[0].id
    assert trl.parse({**record, "rejected": "worse"}, "f")[0].id != trl.parse(record, "f")[0].id
    assert trl.parse({**record, "id": 12}, "f")[0].id == "12"


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"chosen": "a", "rejected": "b"}, "prompt"),
        ({"prompt": "?", "chosen": "a"}, "rejected"),
        ({"chosen": [GOOD], "rejected": [{**GOOD, "content": "bad"}]}, "prompt"),
        ({"chosen": [USER, GOOD], "rejected": [USER, GOOD]}, "chosen"),
        ({"prompt": "other", "chosen": [USER, GOOD], "rejected": "x"}, "chosen"),
    ],
)
def test_trl_pairs_that_do_not_part_at_an_answer_are_refused(record: dict[str, Any], field: str) -> None:
    assert refused(trl.parse, record)[0] == field


# hh-rlhf


def test_hh_rlhf_transcripts_are_split_into_turns_where_they_part() -> None:
    start = "\n\nHuman: Hello\n\nAssistant: Hi!\n\nHuman: What is 2+2?\nQuick.\n\nAssistant:"
    (row,) = hh_rlhf.parse({"chosen": start + " 4.", "rejected": start + " 5. \n"}, "base")
    assert [m["role"] for m in row.prompt.messages] == ["user", "assistant", "user"]
    assert row.prompt.messages[2]["content"] == "What is 2+2?\nQuick."
    assert better_of(row).turns.messages == ({"role": "assistant", "content": "4."},)
    worse = row.a if better_of(row) is row.b else row.b
    assert worse.turns.text == "5. \n"  # nothing is stripped
    assert worse.turns.is_text


@pytest.mark.parametrize(
    ("chosen", "rejected", "field"),
    [
        ("Human: x\n\nAssistant: y", "\n\nHuman: x\n\nAssistant: z", "chosen"),
        ("\n\nHuman: x", "\n\nHuman: x\n\nAssistant: z", "chosen"),
        ("\n\nHuman: x\n\nAssistant: y", "\n\nHuman: x\n\nAssistant: y", "chosen"),
        ("\n\nHuman: x\n\nAssistant: y", "\n\nHuman: q\n\nAssistant: y", "prompt"),
        ("\n\nHuman: x\n\nAssistant: y", None, "rejected"),
    ],
)
def test_hh_rlhf_that_is_no_pair_of_transcripts_is_refused(chosen: Any, rejected: Any, field: str) -> None:
    assert refused(hh_rlhf.parse, {"chosen": chosen, "rejected": rejected})[0] == field


def test_an_unknown_format_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"rows, trl, hh-rlhf, .*, got 'xml'"):
        formats.parser_of("xml")


def test_every_format_resolves() -> None:
    assert all(callable(formats.parser_of(name)) for name in formats.FORMATS)


def test_messages_are_written_as_canonical_json_is() -> None:
    said = [
        {"role": "user", "content": 'é"\\\n\t\x01\u2028\U0001f600/</script>'},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "\x7f\u200f"},
    ]
    turns = one(prompt=said).prompt
    assert turns.json == canonical(said)
    assert turns.sha256 == hashlib.sha256(canonical(said).encode()).hexdigest()


def test_every_character_is_written_as_json_writes_it() -> None:
    storable = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
    for start in range(0, len(storable), 100_000):
        said = [{"role": "user", "content": "".join(storable[start : start + 100_000])}]
        assert one(prompt=said).prompt.json == canonical(said)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(-1e16, 1e16).map(lambda number: round(number, 3))
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
@example([1e15, 1e16, 1e17, -1e22, 1e-3, 9.99e-4, 1e-4, 1e-5, 5e-324, 0.0, -0.0, 0.1, 123456789012345.6])
@example([2**63, 2**63 - 1, -(2**63), 2**64, True, None, "\u2028"])
def test_a_digest_is_of_the_value_as_json_writes_it_whichever_library_does(value: Any) -> None:
    assert rows.digest(value) == hashlib.sha256(canonical(value).encode()).hexdigest()
