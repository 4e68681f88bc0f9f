"""The dataset card of a version: Markdown with the front matter that the Hugging Face hub reads. Deterministic.

A section of which there is nothing to say is absent.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from curation.exports.bias import MOST_SHOWN, OTHERS, SECTIONS, WHO, Figures, Rate
from curation.exports.cautions import cautions
from curation.exports.facts import CardFacts, Cost, RaterFacts, Statistics, summarise
from curation.exports.schema import SOURCES, SPLITS, UNDECIDED
from curation.stats import Estimate, wilson

__all__ = ["CardFacts", "RaterFacts", "Statistics", "render_card", "summarise"]

ABOUT: Final = (
    "Pairwise preferences: a prompt, the completion that was preferred and the one that was not, with every vote."
)
MOST_RATERS: Final = 50
_SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_LICENSES: Final = frozenset((
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "bsd", "bsd-2-clause", "bsd-3-clause", "cc", "cc0-1.0",
    "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0",
    "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "gfdl",
    "gpl-3.0", "agpl-3.0", "lgpl-3.0", "odbl", "odc-by", "pddl", "unlicense", "etalab-2.0", "other", "unknown",
))  # fmt: skip
"""Identifiers that the hub knows, of those that data sets have; any other goes by its name."""
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}")
_VERDICTS: Final = {"tie": "ties", "both_bad": "both bad"}


def render_card(facts: CardFacts, statistics: Statistics) -> str:
    """The card, with its files beside it; equal facts give equal bytes."""
    figures = statistics.bias.figures()
    top = [_front_matter(facts, statistics), f"# {facts.name}, version {facts.version}"]
    if facts.simulated:
        top.append("> **Some of the judgements in this version were simulated.** It is for demonstration.")
    if facts.description:
        top.append(facts.description.strip())
    top += [
        "Pairwise preferences: a prompt, the completion that was preferred and the one that was not, with every vote."
    ]
    sections = {
        "Know before you train": _cautions(facts, statistics, figures),
        "Rows": _rows(facts, statistics),
        "Left out and changed": _left_out(facts, statistics),
        "Labels": _labels(facts, statistics),
        "Raters": _raters(facts, statistics),
        "Judges": _judges(facts),
        "Bias": _bias(figures),
        "Contamination": _contamination(facts),
        "Guidelines": _guidelines(facts),
        "Cost": _cost(facts.cost) if facts.cost else "",
        "Withdrawals": _withdrawals(facts.withdrawn),
        "Limits": _limits(facts, statistics),
        "Licence": f"{cell(facts.license)}",
        "How to load": _how_to_load(facts, statistics),
        "Recipe": _fenced("json", json.dumps(facts.recipe, indent=2, sort_keys=True, ensure_ascii=False)),
        "Identity": _identity(facts),
    }
    return "\n\n".join([*top, *(f"## {title}\n\n{text}" for title, text in sections.items() if text)]) + "\n"


# --- what machines read ---------------------------------------------------------------------------------------------


def _front_matter(facts: CardFacts, statistics: Statistics) -> str:
    """YAML whose scalars are JSON strings, which are YAML too, so that no name can break it."""
    size = next((label for limit, label in _SIZES if statistics.n < limit), "n>10M")
    lines = [f"pretty_name: {_json(f'{facts.name} v{facts.version}')}", *_license(facts.license)]
    languages = [*facts.languages, *_codes(statistics.languages)]
    if languages:
        lines += ["language:", *(f"- {_json(language)}" for language in dict.fromkeys(languages))]
    lines += ["size_categories:", f"- {_json(size)}", "tags:"]
    tags = ["preference", "human-feedback", "reward-modeling", "rlhf", "dpo", "tiebreak"]
    lines += [f"- {_json(tag)}" for tag in (*tags, *(["simulated"] if facts.simulated else []))]
    return "\n".join(["---", *lines, *_configs(facts, statistics), "---"])


def _license(license_: str) -> list[str]:
    known = license_.strip().lower()
    if known in _LICENSES:
        return [f"license: {_json(known)}"]
    name = re.sub(r"[^a-z0-9.]+", "-", known).strip("-") or "unnamed"
    return ['license: "other"', f"license_name: {_json(name)}"]


def _codes(languages: Mapping[str, int]) -> list[str]:
    """ISO 639 codes, the commonest first; the hub takes no other names of languages."""
    ordered = sorted(languages, key=lambda name: (-languages[name], name))
    codes = (re.split(r"[-_]", name.strip().lower())[0] for name in ordered)
    return [code for code in codes if _LANGUAGE.fullmatch(code)]


def _configs(facts: CardFacts, statistics: Statistics) -> list[str]:
    """The rows without a chosen side are a configuration of their own: nobody loads them for pairs by accident."""
    lines: list[str] = []
    for name, files in (("default", _files(facts, statistics)), ("undecided", facts.undecided_files)):
        if any(files.values()):
            lines += [f"- config_name: {_json(name)}", "  data_files:"]
            for split, paths in files.items():
                path = _json(paths[0]) if len(paths) == 1 else json.dumps(list(paths), ensure_ascii=False)
                lines += [f"  - split: {_json(split)}", f"    path: {path}"]
    return ["configs:", *lines] if lines else []


def _files(facts: CardFacts, statistics: Statistics) -> dict[str, Sequence[str]]:
    """Split → its files, of the splits that have rows, in their order."""
    present = [split for split in SPLITS if statistics.splits[split]]
    return {split: facts.files.get(split) or (f"{split}.parquet",) for split in present}


# --- what people read -----------------------------------------------------------------------------------------------


def _cautions(facts: CardFacts, statistics: Statistics, figures: Figures) -> str:
    return "\n".join(f"- {cell(str(caution))}" for caution in cautions(facts, statistics, figures))


def _rows(facts: CardFacts, statistics: Statistics) -> str:
    kept = [kind for kind in UNDECIDED if any(statistics.undecided[split, kind] for split in SPLITS)]
    labels = [source for source in SOURCES if statistics.sources[source]]

    def line(name: str, splits: Sequence[str]) -> list[str]:
        by_label = [sum(statistics.labelled[split, source] for split in splits) for source in labels]
        undecided = [sum(statistics.undecided[split, kind] for split in splits) for kind in kept]
        return [name, *map(_count, [sum(statistics.splits[split] for split in splits), *by_label, *undecided])]

    header = ["split", "rows with a chosen side", *(f"labelled by {WHO[source]}" for source in labels)]
    table = _table(
        [*header, *(f"{_VERDICTS[kind]}, kept apart" for kind in kept)],
        [*(line(split, [split]) for split in SPLITS), line("all", SPLITS)],
    )
    apart = {"cluster": "cluster of alike prompts"}.get((facts.recipe.get("split") or {}).get("by", ""), "group")
    told = [table, f"Split by {apart}, never one in two splits; {_count(statistics.groups)} groups."]
    for title, counts in (("source", statistics.places), ("language", statistics.languages)):
        if counts:
            told.append(_table((title, "rows"), _commonest(counts, statistics.n)))
    return "\n\n".join(told)


def _commonest(counts: Counter[str], total: int) -> list[tuple[str, str]]:
    ordered = sorted((name for name in counts if name != OTHERS), key=lambda name: (-counts[name], name))
    shown, unnamed = ordered[:MOST_SHOWN], total - sum(counts.values())
    rest = counts[OTHERS] + sum(counts[name] for name in ordered[MOST_SHOWN:])
    told = [(name, counts[name]) for name in shown] + [("others", rest), ("not named", unnamed)]
    return [(cell(name), _count(n)) for name, n in told if n]


def _left_out(facts: CardFacts, statistics: Statistics) -> str:
    dropped = {rule: n for rule, n in facts.dropped.items() if n}
    treated = {f"doubtful label: {action}": n for action, n in sorted(statistics.treated.items())}
    changed = {rule: n for rule, n in {**facts.changed, **treated}.items() if n}
    told = [
        _table((did, what), [(rule, _count(n)) for rule, n in counts.items()])
        for did, what, counts in (("left out by", "comparisons", dropped), ("changed by", "rows", changed))
        if counts
    ]
    return "\n\n".join(told)


def _labels(facts: CardFacts, statistics: Statistics) -> str:
    alpha = facts.agreement or Estimate(None, reason="not computed")
    alphas = [Rate("people with people", alpha), *facts.agreements]
    judge, single = wilson(statistics.judge_votes, statistics.votes), wilson(statistics.single, statistics.n)
    named = f"Krippendorff's alpha, {facts.agreement_level}, before selection"
    lines = [(f"{named}: {who}", _shown(each), f"{_count(each.n)} comparisons") for who, each in alphas]
    lines += [
        ("votes by judges (models)", _shown(judge), f"{_count(judge.n)} votes"),
        ("rows that rest on one vote", _shown(single), f"{_count(single.n)} rows"),
    ]
    if statistics.adjudicated:
        decided = wilson(statistics.adjudicated, statistics.n)
        lines.append(("rows decided by an adjudicator", _shown(decided), f"{_count(decided.n)} rows"))
    table = _table(("figure", "value (95 % interval)", "of"), lines)
    if not facts.method:
        return table
    because = f": {facts.because}" if facts.because else ""
    return f"Consensus by {cell(facts.method + because)}.\n\n{table}"


def _raters(facts: CardFacts, statistics: Statistics) -> str:
    """Those whose votes are in the rows, under the names that the rows call them by, and no others."""
    skills = {(rater.kind, rater.name): rater.skill for rater in facts.raters}
    votes = sorted(statistics.votes_of.items(), key=lambda item: (-item[1], item[0]))
    kinds = Counter(kind for kind, _ in statistics.votes_of)
    words = {"annotator": ("person", "people"), "judge": ("judge", "judges")}
    names = [
        f"{_count(kinds[kind])} {one if kinds[kind] == 1 else many}"
        for kind, (one, many) in words.items()
        if kinds[kind]
    ]
    rows = [
        (
            cell(name),
            kind,
            _count(n),
            f"{100 * n / statistics.votes:.1f} %",
            _shown(skills.get((kind, name)) or Estimate(None, reason="not computed")),
        )
        for (kind, name), n in votes[:MOST_RATERS]
    ]
    if not rows:
        return ""
    hidden = (facts.recipe.get("deidentify") or {}).get("raters") == "none"
    told = [f"{'Names withheld' if hidden else ' and '.join(names)}; {_count(statistics.votes)} votes in the rows."]
    if len(votes) > MOST_RATERS:
        told.append(f"The {MOST_RATERS} with most votes are listed.")
    told.append("Skill: how often a rater says what the consensus says, before selection.")
    header = ("rater", "kind", "votes", "share", "skill (95 % interval)")
    return " ".join(told) + "\n\n" + _table(header, rows)


def _judges(facts: CardFacts) -> str:
    if not facts.judges and not facts.muted:
        return ""
    told = []
    if facts.judges:
        rows = [
            (
                cell(j.name),
                j.kind,
                cell(j.model),
                ", ".join(j.prompts),
                cell(j.rubric),
                _count(j.readings),
                _shown(j.accuracy),
            )
            for j in facts.judges
        ]
        header = (
            "judge",
            "kind",
            "model",
            "prompt",
            "rubric",
            "readings",
            "names people's side, on the audit (95 % interval)",
        )
        told.append(_table(header, rows))
        accuracy = facts.judge_accuracy or Estimate(None, reason="no audit")
        told.append(
            "All judges together, over everything that they labelled, corrected by the audit of "
            f"{_count(facts.audited)} comparisons drawn at random (prediction-powered): {_shown(accuracy)}."
        )
    if facts.muted:
        told.append(
            f"Refused by gold or the audit, and no label made of their words: {', '.join(map(cell, facts.muted))}."
        )
    return "\n\n".join(told)


def _bias(figures: Figures) -> str:
    told = []
    for name, rates in figures.items():
        section = SECTIONS[name]
        shown = _shown if section.unit == "share" else _weight
        rows = [(cell(rate.label), shown(rate.figure), _count(rate.figure.n)) for rate in rates]
        value = "share (95 % interval)" if section.unit == "share" else "log-odds (95 % interval)"
        told.append(f"### {section.title}\n\n{section.about}\n\n" + _table((section.of, value, "n"), rows))
    return "\n\n".join(told)


def _weight(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f} ({estimate.low:+.2f} to {estimate.high:+.2f})"


def _contamination(facts: CardFacts) -> str:
    told = []
    asked = facts.recipe.get("decontaminate") or {}
    if facts.evaluations:
        rows = [(cell(e.name), _count(e.texts), f"`{e.sha256}`", _count(e.dropped)) for e in facts.evaluations]
        told.append(f"Rows that share {asked.get('words', 13)} words in a row with a text of these sets were left out.")
        told.append(_table(("evaluation set", "texts", "SHA-256", "comparisons left out"), rows))
    else:
        told.append("Not held against any evaluation set: the recipe names none.")
    if near := facts.recipe.get("near_duplicates"):
        told.append(
            f"Near-duplicates of the {near.get('of', 'row')} from a similarity of {near.get('threshold')} on were left "
            f"out: {_count(facts.dropped.get('near_duplicates', 0))}."
        )
    else:
        told.append("Near-duplicates were not looked for.")
    return "\n\n".join(told)


def _guidelines(facts: CardFacts) -> str:
    rows = [
        (
            f"version {each.version}" if each.version is not None else "not known (imported)",
            f"`{each.sha256}`" if each.sha256 else "",
            _count(each.judgements),
        )
        for each in facts.guidelines
    ]
    return _table(("guidelines", "SHA-256 of their text", "judgements by people in the rows"), rows) if rows else ""


def _cost(cost: Cost) -> str:
    hours = cost.seconds / 3600
    rows = []
    if cost.judgements:
        known = f"known of {_count(cost.timed)} of {_count(cost.judgements)} judgements"
        rows.append(("people's active time", f"{hours:.2f} hours" if cost.timed else "unknown", known))
    if cost.timed and cost.hourly:
        worth = f"{hours * float(cost.hourly):.2f} {cost.currency}"
        rows.append(("that time in money", worth, f"at {cost.hourly} {cost.currency} an hour"))
    elif cost.timed:
        rows.append(("that time in money", "unknown", "the project sets no hourly rate"))
    if cost.readings:
        known = f"known of {_count(cost.priced)} of {_count(cost.readings)} readings"
        rows.append(("judges' calls", f"{cost.price} {cost.currency}" if cost.priced else "unknown", known))
    return _table(("cost of the judgements in the rows", "sum", "of"), rows) if rows else ""


def _withdrawals(withdrawn: Mapping[str, int]) -> str:
    told = [f"{kind} {_count(n)}" for kind, n in sorted(withdrawn.items()) if n]
    return f"Taken back before this version was built, and not in it: {', '.join(told)}." if told else ""


def _limits(facts: CardFacts, statistics: Statistics) -> str:
    told = [
        "Intervals take rows for independent of each other; comparisons of one group are not quite.",
        "Refusals are found by a pattern of English words in the opening of a text; others are not seen.",
        "Nothing is known of who the raters are, so nothing follows for other people.",
    ]
    if statistics.places or statistics.languages:
        told.append("Sources and languages are those that the metadata name; they were not checked.")
    if statistics.judge_votes:
        told.append("Judges are models: what they share in taste with a model trained on this is not measured.")
    if (facts.recipe.get("deidentify") or {}).get("texts"):
        told.append("De-identification finds what has a form, such as addresses; names of people stay. It is a filter.")
    else:
        told.append("Texts were not searched for personal data.")
    return "\n".join(f"- {line}" for line in told)


def _identity(facts: CardFacts) -> str:
    told = {
        "SHA-256 of the rows": facts.digest,
        "Chain of the rows' own SHA-256, still provable after a withdrawal": facts.chain,
        "SHA-256 of the recipe": facts.recipe_sha256,
        "Made by Tiebreak": facts.code_version,
    }
    return "\n".join(f"- {name}: `{value}`" for name, value in told.items() if value)


def _how_to_load(facts: CardFacts, statistics: Statistics) -> str:
    files = {split: paths[0] if len(paths) == 1 else list(paths) for split, paths in _files(facts, statistics).items()}
    if not files:
        return ""
    first = next(iter(_files(facts, statistics).values()))
    many = first[0] if len(first) == 1 else list(first)
    ways = {
        "datasets": f'from datasets import load_dataset\n\nrows = load_dataset("parquet", data_files={files!r})',
        "pandas": f"import pandas as pd\n\nrows = {_pandas(first)}",
        "polars": f"import polars as pl\n\nrows = pl.scan_parquet({many!r}).collect()",
    }
    code = "\n\n".join(f"With {name}:\n\n" + _fenced("python", text) for name, text in ways.items())
    pull = f"tiebreak pull {facts.name}@{facts.version} --to {facts.name}-{facts.version}"
    return f"{code}\n\nFrom the server that made it, every file checked by its hash:\n\n" + _fenced("sh", pull)


def _pandas(files: Sequence[str]) -> str:
    if len(files) == 1:
        return f"pd.read_parquet({files[0]!r})"
    return f"pd.concat(map(pd.read_parquet, {list(files)!r}))"


# --- words and tables -----------------------------------------------------------------------------------------------


def _shown(estimate: Estimate) -> str:
    if estimate.value is None or math.isnan(estimate.value):
        return f"none: {estimate.reason or 'not measured'}"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _count(n: int) -> str:
    return f"{n:,}"


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _fenced(language: str, text: str) -> str:
    """With a fence longer than any in the text, so that no name in a recipe can end it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_MARKUP: Final = str.maketrans({mark: f"\\{mark}" for mark in "\\`*[]<>|"})


def cell(text: str) -> str:
    """A name or a phrase as a table's cell has it: on one line, its markup without effect."""
    return " ".join(text.split()).translate(_MARKUP)
