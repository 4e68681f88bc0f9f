"""Reading and writing what the commands take: preference rows, pairs and verdicts, in JSON Lines or Parquet."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from models_rt.records import Criterion, Message, Pair, PreferenceRow, Verdict

SPLITS: Final = ("train", "validation", "test")


def version_rows(source: Path) -> list[PreferenceRow]:
    """The rows of a dataset version: a folder of <split>.parquet or <split>.jsonl, or one file with a split column."""
    if not source.is_dir():
        return rows_of(source)
    found: list[PreferenceRow] = []
    for split in SPLITS:
        paths = [source / f"{split}{ending}" for ending in (".parquet", ".jsonl", ".jsonl.gz")]
        path = next((p for p in paths if p.is_file()), None)
        if path is not None:
            found += rows_of(path, split)
    if not found:
        raise ValueError(f"data: expected {', '.join(SPLITS)} as .parquet or .jsonl in {source}, found no rows")
    return found


def rows_of(path: Path, split: str = "train") -> list[PreferenceRow]:
    """Preference rows of one file; `split` is for rows that state none. ValueError names file, line and field."""
    return [preference_row(record, f"{path}, row {n}", split) for n, record in enumerate(_records(path), 1)]


def preference_row(record: Mapping[str, Any], where: str, split: str = "train") -> PreferenceRow:
    """One row of a version's native schema, or of the plain layout (prompt, chosen, rejected)."""
    prompt = messages(record.get("prompt", ""), f"{where}, prompt")
    margin, weight, probability = (_number(record.get(k), f"{where}, {k}") for k in ("margin", "weight", "probability"))
    return PreferenceRow(
        id=str(record.get("id") or where),
        prompt=prompt,
        chosen=last_text(record.get("chosen"), f"{where}, chosen"),
        rejected=last_text(record.get("rejected"), f"{where}, rejected"),
        margin=margin,
        weight=_within(weight, 1.0, math.inf, f"{where}, weight"),
        split=str(record.get("split") or split),
        group=str(record.get("group") or hashlib.sha256(json.dumps(prompt).encode()).hexdigest()),
        probability=_within(probability, 1.0, 1.0, f"{where}, probability"),
    )


def pairs_of(path: Path) -> list[Pair]:
    """Pairs of one file: id, prompt, completion_a, completion_b (or a, b), reference, context, criteria."""
    return [_pair(record, f"{path}, row {n}", n) for n, record in enumerate(_records(path), 1)]


def messages(value: Any, where: str) -> tuple[Message, ...]:
    """A prompt: a string (one user turn) or a list of {role, content}."""
    if isinstance(value, str):
        return (Message(role="user", content=value),) if value else ()
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where}: expected a string or a list of messages, got {type(value).__name__}")
    return tuple(_message(m, where) for m in value)


def last_text(value: Any, where: str) -> str:
    """A completion: a string, or the content of the last of a list of messages."""
    if isinstance(value, str):
        return value
    turns = messages(value, where)
    if not turns:
        raise ValueError(f"{where}: expected at least one message, got none")
    return turns[-1]["content"]


def verdict_dict(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain values; the price stays exact, as a string."""
    plain = asdict(verdict)
    plain["usage"]["price"] = str(Decimal(plain["usage"]["price"]))
    return plain


def write_lines(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """JSON Lines, one record each."""
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _pair(record: Mapping[str, Any], where: str, number: int) -> Pair:
    a, b = (record.get(f"completion_{side}", record.get(side)) for side in "ab")
    return Pair(
        id=str(record.get("id") or number),
        prompt=messages(record.get("prompt", ""), f"{where}, prompt"),
        a=last_text(a, f"{where}, completion_a"),
        b=last_text(b, f"{where}, completion_b"),
        reference=_optional(record.get("reference"), f"{where}, reference"),
        context=_optional(record.get("context"), f"{where}, context"),
        criteria=tuple(_criterion(c, f"{where}, criteria") for c in record.get("criteria") or ()),
    )


def _criterion(value: Any, where: str) -> Criterion:
    kind: Literal["hard_rule", "principle"]
    match value:
        case {"kind": "hard_rule" | "principle" as kind, "text": str(text)}:
            return Criterion(kind, text)
    raise ValueError(f"{where}: expected kind (hard_rule or principle) and text, got {value!r:.80}")


def _message(value: Any, where: str) -> Message:
    match value:
        case {"role": str(role), "content": str(content)}:
            return Message(role=role, content=content)
    raise ValueError(f"{where}: expected a message with role and content, got {value!r:.80}")


def _optional(value: Any, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{where}: expected a string or null, got {type(value).__name__}")


def _number(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{where}: expected a finite number or null, got {value!r:.40}")
    return float(value)


def _within(value: float | None, default: float, most: float, where: str) -> float:
    if value is None:
        return default
    if not 0.0 <= value <= most:
        raise ValueError(f"{where}: expected 0 to {most:g}, got {value:g}")
    return value


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    if not path.is_file():
        raise ValueError(f"file: expected JSON Lines or Parquet, got {path}, which does not exist")
    if path.suffix == ".parquet":
        yield from _parquet(path)
        return
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _object(line, f"{path}, line {number}")


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(batch_size=4096):
        yield from batch.to_pylist()


def _object(line: str, where: str) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: expected a JSON object, got invalid JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a JSON object, got {type(value).__name__}")
    return value
