"""Other tools' files, each in the layout that its authors published: what becomes of a record, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from annotate import formats
from annotate.formats import Row, RowError, reading

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "raw"

LLMBAR = {"subset": "Natural", "idx": 7, "input": "Why?", "output_1": "Because.", "output_2": "No.", "label": 2}
PANDALM = {
    "idx": 3, "motivation_app": "Grammarly", "cmp_key": "opt-7b_llama-7b",
    "instruction": "Shorten it.", "input": "A b c.", "response1": "A.", "response2": "B.",
    "annotator1": 1, "annotator2": 0, "annotator3": 2,
}  # fmt: skip
ARENA: dict[str, Any] = {
    "question_id": "q1", "model_a": "m-one", "model_b": "m-two", "winner": "model_b", "judge": "arena_user_9",
    "conversation_a": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"},
                       {"role": "user", "content": "Go on"}, {"role": "assistant", "content": "1"}],
    "conversation_b": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
    "language": "English", "turn": 2, "tstamp": 1_700_000_000.5, "anony": True,
}  # fmt: skip
SAID = {
    "evaluator": "w1", "overall_pref": "A-is-clearly-better", "helpful_pref": "A-is-slightly-better",
    "truthful_pref": "Tie", "harmless_pref": "B-is-clearly-better", "helpful_checked_reasons": ["Tone", "Concision"],
    "truthful_checked_reasons": ["Tone"], "time_spent": 61, "timestamp": "2024-03-01T10:00:00Z", "confidence": "high",
}  # fmt: skip
MULTIPREF: dict[str, Any] = {
    "comparison_id": "c1", "prompt_id": "p1", "text": "Why?", "model_a": "m-one", "model_b": "m-two",
    "completion_a": "Because.", "completion_b": "No.", "source": "wildchat",
    "normal_worker_annotations": [SAID],
    "expert_worker_annotations": [{"evaluator": "e1", "overall_pref": "Tie"}],
}  # fmt: skip
HELPSTEER2 = {
    "split": "train", "prompt": "Why?", "response_1": "Because.", "response_2": "No.", "preference_strength": -2,
    "preference_statement": "1 is better.", "preference_elaboration": "It answers.",
    "all_preferences_unprocessed": [
        {"strength": -3, "statement": "Much.", "elaboration": "So."}, {"strength": -100, "statement": "Neither."},
    ],
}  # fmt: skip
HELPSTEER3 = {
    "domain": "general", "language": "english", "context": [{"role": "user", "content": "Why?"}],
    "response1": "Because.", "response2": "No.", "overall_preference": 1,
    "individual_preference": [{"score": 1, "reasoning": "It is shorter.", "feedback1": "x", "feedback2": "y"}],
}  # fmt: skip
ULTRAFEEDBACK = {
    "source": "evol_instruct", "instruction": "Why?", "models": ["m-one", "m-two", "m-three"],
    "completions": [
        {"model": "m-one", "response": "Because.", "overall_score": 8.0, "fine-grained_score": 4.5},
        {"model": "m-two", "response": "No.", "overall_score": 6.0, "fine-grained_score": 4.5},
        {"model": "m-three", "response": "?", "overall_score": 1.0, "fine-grained_score": 1.25},
    ],
}  # fmt: skip


def _message(id_: str, role: str, text: str, *replies: Any, rank: int | None = None) -> dict[str, Any]:
    return {"message_id": id_, "role": role, "text": text, "lang": "en", "rank": rank, "replies": list(replies)}


OASST = {
    "message_tree_id": "t1", "tree_state": "ready_for_export",
    "prompt": _message(
        "q", "prompter", "Why?",
        _message("r1", "assistant", "Because.", _message(
            "q2", "prompter", "And?",
            _message("r3", "assistant", "Yes.", rank=1), _message("r4", "assistant", "No.", rank=0),
        ), rank=0),
        _message("r2", "assistant", "Ask him.", rank=1),
        _message("r5", "assistant", "Unranked."),
    ),
}  # fmt: skip
ARGILLA = {
    "id": "a1", "status": "completed", "metadata": {"topic": "x"},
    "fields": {"instruction": "Why?", "response1": "Because.", "response2": "No."},
    "responses": {
        "quality": [{"value": 4, "user_id": "u1", "status": "submitted"}],
        "preference": [
            {"value": "response2", "user_id": "u1", "status": "submitted"},
            {"value": "response1", "user_id": "u2", "status": "draft"},
            {"value": [{"value": "response1", "rank": 1}, {"value": "response2", "rank": 1}], "user_id": "u3"},
        ],
    },
}  # fmt: skip
ARGILLA_1 = {
    "external_id": "a2", "fields": {"prompt": "Why?", "response-1": "Because.", "response-2": "No."},
    "responses": [{"user_id": "u1", "status": "submitted", "values": {"preference": {"value": "response-1"}}}],
}  # fmt: skip
LABEL_STUDIO = {
    "id": 12, "data": {"prompt": "Why?", "answer1": "Because.", "answer2": "No.", "topic": "x"},
    "annotations": [
        {"completed_by": {"id": 4, "email": "ann@example.org"}, "lead_time": 12.5, "created_at": "2024-03-01T10:00:00Z",
         "result": [{"type": "pairwise", "value": {"selected": "left"}, "from_name": "p", "to_name": "a,b"},
                    {"type": "textarea", "value": {"text": ["It answers."]}}]},
        {"completed_by": 5, "was_cancelled": True, "result": []},
        {"completed_by": 6, "result": [{"type": "pairwise", "value": {"selected": "right"}}]},
    ],
}  # fmt: skip


def read(format: str, record: Any) -> list[Row]:
    return formats.parser_of(format)(record, "file")


def one(format: str, record: Any) -> Row:
    (row,) = read(format, record)
    return row


def said(row: Row) -> list[tuple[str, int | None]]:
    return [(judgement.rater, judgement.preference) for judgement in row.judgements]


def test_llmbars_label_is_gold() -> None:
    row = one("llmbar", LLMBAR)
    assert (row.id, row.gold, row.prompt.text, row.a.turns.text) == ("Natural/7", 1, "Why?", "Because.")
    assert row.gold_because
    assert not row.judgements


def test_pandalms_annotators_are_read_one_by_one_and_its_input_belongs_to_the_prompt() -> None:
    row = one("pandalm", PANDALM)
    assert row.prompt.text == "Shorten it.\n\nA b c."
    assert said(row) == [("annotator1", -1), ("annotator2", 0), ("annotator3", 1)]
    assert row.metadata == {"motivation_app": "Grammarly", "cmp_key": "opt-7b_llama-7b"}


def test_an_arena_conversation_keeps_all_turns_after_the_first_question() -> None:
    row = one("arena", ARENA)
    assert row.prompt.messages == ({"role": "user", "content": "Hi"},)
    assert [m["content"] for m in row.a.turns.messages] == ["Yes?", "Go on", "1"]
    assert (row.a.generator, row.b.generator) == ("m-one", "m-two")
    assert said(row) == [("arena_user_9", 1)]
    assert row.judgements[0].submitted_at == datetime(2023, 11, 14, 22, 13, 20, 500_000, UTC)


def test_a_tie_of_two_bad_ones_in_the_arena_names_no_side() -> None:
    (judgement,) = one("arena", ARENA | {"winner": "tie (bothbad)"}).judgements
    assert (judgement.preference, judgement.both_bad) == (None, True)
    assert said(one("arena", ARENA | {"winner": "tie"})) == [("arena_user_9", 0)]


def test_multiprefs_workers_keep_aspects_reasons_and_times() -> None:
    row = one("multipref", MULTIPREF)
    first, second = row.judgements
    assert (first.rater, first.preference, first.seconds) == ("w1", -2, 61)
    assert first.aspects == {"helpfulness": -1, "truthfulness": 0, "harmlessness": 2}
    assert first.reasons == ("Tone", "Concision")
    assert (second.rater, second.preference) == ("e1", 0)
    assert (row.group, row.metadata) == ("p1", {"source": "wildchat", "experts": ["e1"]})


def test_helpsteers_unprocessed_preferences_are_taken_where_they_are() -> None:
    first, second = one("helpsteer2", HELPSTEER2).judgements
    assert (first.rater, first.preference, first.justification) == ("file annotator 1", -3, "Much.\nSo.")
    assert (second.preference, second.both_bad) == (None, True)  # -100: neither is valid
    short = {k: v for k, v in HELPSTEER2.items() if k != "all_preferences_unprocessed"}
    (only,) = one("helpsteer2", short).judgements
    assert (only.rater, only.preference, only.justification) == ("file", -2, "1 is better.\nIt answers.")


def test_helpsteer3_is_read_too() -> None:
    row = one("helpsteer2", HELPSTEER3)
    assert said(row) == [("file annotator 1", 1)]
    assert row.judgements[0].justification == "It is shorter."


def test_ultrafeedbacks_scores_become_the_judges_preferences() -> None:
    rows = read("ultrafeedback", ULTRAFEEDBACK)
    worse = {frozenset((r.a.generator, r.b.generator)): r for r in rows}
    assert set(worse) == {frozenset(("m-one", "m-three")), frozenset(("m-two", "m-three"))}  # equal scores say nothing
    for row in rows:
        (judgement,) = row.judgements
        assert (judgement.rater, judgement.kind) == ("gpt-4", "judge")
        favoured = row.b if judgement.preference == 1 else row.a
        assert favoured.generator in ("m-one", "m-two")
    assert len({row.group for row in rows}) == 1


def test_every_ranked_place_of_an_openassistant_tree_becomes_comparisons() -> None:
    first, second = read("oasst", OASST)
    assert {first.a.turns.text, first.b.turns.text} == {"Because.", "Ask him."}
    assert [m["content"] for m in second.prompt.messages] == ["Why?", "Because.", "And?"]
    favoured = second.b if second.judgements[0].preference == 1 else second.a
    assert favoured.turns.text == "No."  # rank 0 is the best
    assert {first.group, second.group} == {"t1"}


def test_argillas_submitted_answers_are_read_and_drafts_are_not() -> None:
    row = one("argilla", ARGILLA)
    assert said(row) == [("u1", 1), ("u3", 0)]
    assert row.metadata == {"topic": "x"}
    assert said(one("argilla", ARGILLA_1)) == [("u1", -1)]


def test_label_studios_left_is_the_first_text_and_cancelled_work_is_left_out() -> None:
    row = one("label-studio", LABEL_STUDIO)
    assert (row.id, row.a.turns.text) == ("12", "Because.")
    assert said(row) == [("ann@example.org", -1), ("6", 1)]
    assert (row.judgements[0].justification, row.judgements[0].seconds) == ("It answers.", 12.5)
    assert row.metadata == {"topic": "x"}


# format, record, the field that is blamed, a part of the reason
REFUSED: list[tuple[str, Any, str, str]] = [
    ("llmbar", LLMBAR | {"label": 3}, "label", "expected one of 1, 2"),
    ("llmbar", LLMBAR | {"output_1": None}, "output_1", "expected"),
    ("llmbar", {"input": "Why?"}, "output_1", "expected a field output_1"),
    ("pandalm", PANDALM | {"annotator2": 5}, "annotator2", "expected one of 0, 1, 2"),
    ("pandalm", {k: v for k, v in PANDALM.items() if "annotator" not in k}, "annotator1", "got none"),
    ("arena", ARENA | {"winner": "both"}, "winner", "tie (bothbad)"),
    ("arena", ARENA | {"conversation_b": ARENA["conversation_b"][1:]}, "conversation_b", "a question and an answer"),
    ("arena", ARENA | {"conversation_a": ARENA["conversation_a"][:3]}, "conversation_a", "assistant"),
    ("arena", ARENA | {"conversation_b": [{"role": "user", "content": "Ho"}] * 2}, "conversation_b", "same first"),
    ("arena", ARENA | {"tstamp": "soon"}, "tstamp", "seconds since 1970"),
    ("multipref", MULTIPREF | {"normal_worker_annotations": [SAID | {"overall_pref": "A"}]},
     "normal_worker_annotations[0].overall_pref", "A-is-clearly-better"),
    ("multipref", MULTIPREF | {"expert_worker_annotations": [{}]},
     "expert_worker_annotations[0].evaluator", "expected"),
    ("helpsteer2", HELPSTEER2 | {"all_preferences_unprocessed": [{"strength": 4}]},
     "all_preferences_unprocessed[0].strength", "-3 to 3"),
    ("helpsteer2", {"prompt": "Why?", "response": "Because.", "helpfulness": 4}, "response_1", "expected a field"),
    ("ultrafeedback", ULTRAFEEDBACK | {"completions": ULTRAFEEDBACK["completions"][:2]},
     "completions", "different scores"),
    ("ultrafeedback", ULTRAFEEDBACK | {"completions": [{"model": "m"}]}, "completions[0].response", "expected"),
    ("oasst", {"message_tree_id": "t", "prompt": _message("q", "prompter", "Why?")}, "prompt", "ranked replies"),
    ("oasst", {"message_tree_id": "t", "prompt": 7}, "prompt", "expected a message"),
    ("argilla", {"fields": {"text": "x"}}, "fields", "response1 and response2"),
    ("argilla", ARGILLA | {"responses": {"preference": [7]}}, "responses.preference[0]", "expected an object"),
    ("label-studio", {"data": {"prompt": "x"}}, "data", "answer1 and answer2"),
    ("label-studio", LABEL_STUDIO | {"annotations": [{"result": [{"type": "pairwise", "value": {"selected": "up"}}]}]},
     "annotations[0].result", "left, right"),
]  # fmt: skip


@pytest.mark.parametrize(("format", "record", "field", "part"), REFUSED)
def test_what_cannot_be_taken_is_named_in_the_files_own_words(format: str, record: Any, field: str, part: str) -> None:
    with pytest.raises(RowError) as refused:
        read(format, record)
    assert refused.value.field == field
    assert part in refused.value.message


@pytest.mark.parametrize("hostile", [None, 7, 1.5, "x", [], {}, [[]], {"a": {}}, True])
def test_a_value_of_any_other_kind_anywhere_is_a_row_refused_and_nothing_worse(hostile: Any) -> None:
    for format, record in GOOD.items():
        for broken in _with_each(record, hostile):
            with suppress(RowError):
                read(format, broken)


def _with_each(value: Any, hostile: Any) -> Iterator[Any]:
    """The record with each of its values in turn replaced, and, of objects, left out."""
    if isinstance(value, dict):
        for key in value:
            yield {**value, key: hostile}
            yield {k: v for k, v in value.items() if k != key}
            yield from ({**value, key: inner} for inner in _with_each(value[key], hostile))
    elif isinstance(value, list):
        for n, entry in enumerate(value):
            yield [*value[:n], hostile, *value[n + 1 :]]
            yield from ([*value[:n], inner, *value[n + 1 :]] for inner in _with_each(entry, hostile))


GOOD = {
    "llmbar": LLMBAR, "pandalm": PANDALM, "arena": ARENA, "multipref": MULTIPREF, "helpsteer2": HELPSTEER2,
    "ultrafeedback": ULTRAFEEDBACK, "oasst": OASST, "argilla": ARGILLA, "label-studio": LABEL_STUDIO,
}  # fmt: skip
OURS = {
    "rows": {
        "id": "1", "prompt": "p", "completion_a": "a", "completion_b": "b", "reference": "r", "metadata": {"k": "v"},
        "judgements": [{
            "rater": "r", "kind": "annotator", "preference": 1, "justification": "so", "reasons": ["x"],
            "evidence": [{"side": "a", "exact": "a", "start": 0, "end": 1}],
        }],
    },
    "trl": {"prompt": "p", "chosen": "c", "rejected": "r"},
    "hh-rlhf": {"chosen": "\n\nHuman: p\n\nAssistant: c", "rejected": "\n\nHuman: p\n\nAssistant: r"},
}  # fmt: skip


@pytest.mark.parametrize("format", [*GOOD, *OURS])
@pytest.mark.parametrize("hostile", ["\x00", "a\ud800b", "x" * 1_000_001], ids=["NUL", "lone surrogate", "too long"])
def test_a_text_that_the_database_cannot_hold_reaches_no_row_by_any_field(format: str, hostile: str) -> None:
    for broken in _with_each_text((GOOD | OURS)[format], hostile):
        with suppress(RowError):
            assert not any(hostile in text for row in read(format, broken) for text in _texts(asdict(row)))


@pytest.mark.parametrize("format", [*GOOD, *OURS])
@pytest.mark.parametrize("text", ['=HYPERLINK("http://x","y")', "+1\t-2\r\n@SUM(A1)", "\u202ex", "x" * 999_000])
def test_a_text_that_is_only_odd_is_kept_to_the_letter(format: str, text: str) -> None:
    """Formulas are a spreadsheet's matter: what is imported is never altered. (HH-RLHF takes the ends of turns off.)"""
    kept = 0
    for odd in _with_each_text(
        (GOOD | OURS)[format], f"\n\nHuman: p\n\nAssistant: {text}" if format == "hh-rlhf" else text
    ):
        with suppress(RowError):
            kept += any(text == found for row in read(format, odd) for found in _texts(asdict(row)))
    assert kept >= 2, "each of the two completions, at least"


def test_a_record_without_an_id_whose_texts_have_no_hash_is_refused_and_the_rest_of_its_file_read_on() -> None:
    for format, record in GOOD.items():
        bare = {name: value for name, value in record.items() if "id" not in name}
        for broken in _with_each_text(bare, "\ud800"):
            with suppress(RowError):  # any other error would end the import
                read(format, broken)


def _with_each_text(value: Any, text: str) -> Iterator[Any]:
    """The record with each of its texts in turn replaced."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in pairs:
        for new in [text] if isinstance(entry, str) else _with_each_text(entry, text):
            copy = value.copy()
            copy[key] = new
            yield copy


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for entry in value.items() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from _texts(entry)


FOREIGN = sorted(set(formats.FORMATS) - {"rows", "trl", "hh-rlhf"})


@pytest.mark.parametrize("format", FOREIGN)
@pytest.mark.parametrize("record", [None, 7, "text", [], {}, {"fields": 1, "data": 1, "prompt": []}, {"": ""}])
def test_anything_else_is_refused_with_a_reason(format: str, record: Any) -> None:
    with pytest.raises(RowError) as refused:
        read(format, record)
    assert refused.value.field
    assert "expected" in refused.value.message


def records(data: bytes, name: str = "x.json") -> list[Any]:
    return [entry.value for entry in reading.read(io.BytesIO(data), name)]


def test_a_list_of_records_is_read_as_its_entries() -> None:
    written = json.dumps([LABEL_STUDIO, ARGILLA], indent=2).encode()
    for data in (written, b"\xef\xbb\xbf  \n" + written, gzip.compress(written)):
        assert records(data) == [LABEL_STUDIO, ARGILLA]


def test_a_list_that_is_too_long_or_broken_is_refused_as_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(reading.FileError, match="valid JSON"):
        records(b'[{"id": 1},')
    monkeypatch.setattr(reading, "MAX_LIST", 10)
    with pytest.raises(reading.FileError, match="a line of its own"):
        records(b"[" + b" " * 20 + b"]")


def published(path: str) -> list[Any]:
    """Records of a public set that lies beside the repository."""
    file = SHARED / path
    if not file.exists():
        pytest.skip(f"{path} of the public sets is not here")
    data = file.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(data) if file.suffix == ".gz" else data).splitlines()]


def test_llmbar_as_published_is_read_whole() -> None:
    found = [one("llmbar", record) for record in published("llmbar/natural_items.jsonl")]
    assert len({row.id for row in found}) == 100
    assert {row.gold for row in found} == {-1, 1}


def test_openassistants_trees_as_published_are_read_whole() -> None:
    trees = published("oasst/trees.jsonl.gz")
    made = 0
    for tree in trees:
        try:
            made += len(read("oasst", tree))
        except RowError as error:
            assert "ranked replies" in error.message  # noqa: PT017 - a tree that nobody ranked
    assert made > len(trees)


def test_hh_rlhf_as_published_is_read_whole_and_each_chosen_is_preferred_whatever_its_side() -> None:
    records = published("hh_rlhf/harmless-base_test.jsonl.gz")
    rows = [one("hh-rlhf", record) for record in records]
    assert len({row.id for row in rows}) == len(records) == 2312
    sides = [row.judgements[0].preference for row in rows]
    assert 0.45 < sides.count(1) / len(sides) < 0.55, "by a hash: a model cannot learn that one side wins"
    for record, row in zip(records, rows, strict=True):
        preferred = row.b if row.judgements[0].preference == 1 else row.a
        assert record["chosen"].rstrip().endswith(preferred.turns.text.rstrip())
