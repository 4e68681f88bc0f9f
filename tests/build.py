"""Builders: each makes a small world in one line. Plain typed functions: a reader and mypy see what they write."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from annotate.models import (
    Assignment,
    Comparison,
    Completion,
    Criterion,
    Form,
    Image,
    Judge,
    JudgeCall,
    Judgement,
    Prompt,
    Rater,
    Rubric,
)
from curation.exports.files import ndjson_line
from curation.exports.schema import normalise
from curation.models import (
    Aggregation,
    Consensus,
    Dataset,
    DatasetRow,
    DatasetVersion,
    DroppedRow,
    Evaluation,
    EvaluationSet,
    NoiseScore,
    RaterSkill,
    RewardMargin,
    RewardModel,
    RoutingDecision,
    RoutingPolicy,
    Tombstone,
    VersionFile,
    Withdrawal,
)
from curation.services import evaluation_sets
from tiebreak.accounts.models import ApiToken, Membership, Project, User
from tiebreak.accounts.roles import Role
from tiebreak.runs import store
from tiebreak.runs.models import Run

_numbers = itertools.count(1)
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)


def _sha(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def make_user(name: str = "", *, password: str | None = None) -> User:
    user = User(username=name or f"user{next(_numbers)}")
    user.set_password(password) if password else user.set_unusable_password()
    user.save()
    return user


def make_project(slug: str = "", *, owner: User | None = None, **form: Any) -> Project:
    """A project with its first form; `form` overrides the form's fields (overlap=2, levels=1, …)."""
    slug = slug or f"project-{next(_numbers)}"
    project = Project.objects.create(slug=slug, name=slug.title())
    Form.objects.create(project=project, number=1, **form)
    if owner:
        Membership.objects.create(project=project, user=owner, role=Role.OWNER)
    return project


def make_member(project: Project, role: str = Role.ANNOTATOR, *, name: str = "", password: str | None = None) -> User:
    user = make_user(name, password=password)
    Membership.objects.create(project=project, user=user, role=role)
    return user


def make_token(user: User, *scopes: str, project: Project | None = None, days: int = 1) -> str:
    expires = timezone.now() + timedelta(days=days)
    return ApiToken.issue(user, "test", list(scopes), expires_at=expires, project=project)[1]


def make_comparison(
    project: Project,
    external_id: str = "",
    *,
    prompt: str = "",
    a: str = "first answer",
    b: str = "second answer",
    overlap: int | None = None,
    **fields: Any,
) -> Comparison:
    number = next(_numbers)
    external_id = external_id or f"c{number}"
    messages = [{"role": "user", "content": prompt or f"question {number}"}]
    row, _ = Prompt.objects.get_or_create(
        project=project, sha256=_sha(messages), defaults={"messages": messages, "is_text": True}
    )
    completions = []
    for text, generator in ((a, "heron-1"), (b, "quill-l")):
        content = [{"role": "assistant", "content": text}]
        completions.append(
            Completion.objects.get_or_create(
                prompt=row, sha256=_sha(content), generator=generator, defaults={"messages": content, "text": text}
            )[0]
        )
    if overlap is None:
        overlap = project.forms.get(current=True).overlap
    values: dict[str, Any] = {
        "group": row.sha256[:16],
        "content_sha256": _sha([external_id, a, b]),
        "shuffle": (number * 0.618034) % 1.0,
    }
    return Comparison.objects.create(
        project=project,
        external_id=external_id,
        prompt=row,
        completion_a=completions[0],
        completion_b=completions[1],
        overlap=overlap,
        **(values | fields),
    )


def make_image(project: Project, source: str = "https://a.example/b.png", **fields: Any) -> Image:
    """A ready one, of one pixel."""
    kept = {"artifact": store.put(PIXEL, "image/png"), "media_type": "image/png", "width": 1, "height": 1}
    return Image.objects.create(project=project, source=source, **({"status": "ready"} | kept | fields))


def make_rater(project: Project, name: str = "", *, kind: str = Rater.Kind.ANNOTATOR, **fields: Any) -> Rater:
    return Rater.objects.create(project=project, kind=kind, name=name or f"rater{next(_numbers)}", **fields)


def make_judge(project: Project, name: str = "judge", *, kind: str = "pairwise", **fields: Any) -> Judge:
    judge = Judge.objects.create(project=project, name=name, kind=kind, **({"backend": "scripted"} | fields))
    Rater.objects.create(project=project, kind=Rater.Kind.JUDGE, name=str(judge), judge=judge)
    return judge


def make_judgement(comparison: Comparison, rater: Rater, preference: int | None, **fields: Any) -> Judgement:
    """A current judgement; an annotator's takes a seat through its assignment, as a submitted one does."""
    assignment = None
    if rater.kind == Rater.Kind.ANNOTATOR:
        assignment = Assignment.objects.create(
            comparison=comparison, rater=rater, status=Assignment.Status.SUBMITTED, order=fields.get("order", "ab")
        )
    return Judgement.objects.create(
        comparison=comparison,
        rater=rater,
        assignment=assignment,
        preference=preference,
        **({"order": "ab"} | fields),
    )


def make_judgements(comparison: Comparison, letters: str) -> list[Judgement]:
    """One annotator a letter: A and B favour a side by one level, T is a tie, X both bad. Raters are r1, r2, …"""
    values = {"A": -1, "B": 1, "T": 0, "X": None}
    made = []
    for number, letter in enumerate(letters, 1):
        rater, _ = Rater.objects.get_or_create(project=comparison.project, kind=Rater.Kind.ANNOTATOR, name=f"r{number}")
        made.append(make_judgement(comparison, rater, values[letter], both_bad=letter == "X"))
    return made


# What is concluded from judgements, as the services would have stored it.


def make_call(
    judge: Judge, comparison: Comparison, preference: int | None, *, repeat: int = 0, **fields: Any
) -> JudgeCall:
    """A judge's call and the judgement that came of it; `preference` None is an answer that could not be read."""
    reason = fields.pop("reason", "")
    order = "ba" if repeat else "ab"
    unparsed = (reason or "no verdict") if preference is None else ""
    judgement = make_judgement(
        comparison, judge.rater, preference, repeat=repeat, order=order, unparsed_because=unparsed, seconds=0.4
    )
    return JudgeCall.objects.create(
        judge=judge,
        comparison=comparison,
        repeat=repeat,
        order=order,
        status=JudgeCall.Status.UNPARSED if unparsed else JudgeCall.Status.PARSED,
        judgement=judgement,
        reason=reason,
        prompt_sha256=_sha([judge.pk, comparison.pk, repeat]),
        **({"raw": "I would say so.", "price": Decimal("0.0012"), "latency_ms": 400, "prompt_tokens": 90} | fields),
    )


def make_aggregation(project: Project, **fields: Any) -> Aggregation:
    alpha = {"value": 0.61, "low": 0.5, "high": 0.7, "n": 40, "reason": ""}
    values: dict[str, Any] = {
        "method": "dawid-skene", "converged": True, "n_iter": 9, "n_comparisons": 3, "n_judgements": 9,
        "agreement": {"people": alpha, "people_and_judges": alpha}, "inputs_sha256": "0" * 64,
    }  # fmt: skip
    return Aggregation.objects.create(project=project, **(values | fields))


def make_consensus(aggregation: Aggregation, comparison: Comparison, p: tuple[float, float, float]) -> Consensus:
    """A consensus with the probabilities of a, tie and b."""
    entropy = -sum(x * math.log2(x) for x in p if x)
    return Consensus.objects.create(
        comparison=comparison, aggregation=aggregation, p_a=p[0], p_tie=p[1], p_b=p[2], preference=p[2] - p[0],
        entropy=entropy, n_annotators=2, n_judges=1,
    )  # fmt: skip


def make_skill(aggregation: Aggregation, rater: Rater, **fields: Any) -> RaterSkill:
    values = {
        "n": 20,
        "skill": 0.8,
        "skill_low": 0.7,
        "skill_high": 0.9,
        "left": 0.7,
        "left_low": 0.55,
        "left_high": 0.8,
    }
    return RaterSkill.objects.create(aggregation=aggregation, rater=rater, **(values | fields))


def make_policy(project: Project, *, name: str = "careful", **fields: Any) -> RoutingPolicy:
    """A policy that was simulated."""
    points = [
        {
            "human_share": share, "judgements": round(40 * share), "money": 20.0 * share, "hours": 2 * share,
            "accuracy": {"value": 0.7 + share / 5, "low": 0.65, "high": 0.95, "n": 60, "reason": ""},
            "random": {"value": 0.7 + share / 6, "low": 0.6, "high": 0.92, "n": 60, "reason": ""},
            "random_accuracy": 0.7,
        }
        for share in (0.0, 0.5, 1.0)
    ]  # fmt: skip
    values = {"version": 1, "kind": "uncertainty", "params": {"audit": 0.05, "exploration": 0.05},
              "simulation": {"simulated_on": 60, "points": points}}  # fmt: skip
    return RoutingPolicy.objects.create(project=project, name=name, **(values | fields))


def make_routing(comparison: Comparison, **fields: Any) -> RoutingDecision:
    values = {"policy": "uncertainty", "route": "human", "reason": "the judge is unsure", "gain": 0.12}
    return RoutingDecision.objects.create(comparison=comparison, **(values | fields))


def make_noise(comparison: Comparison, **fields: Any) -> NoiseScore:
    values = {"method": "consensus-entropy", "score": 0.8, "decision": "ask_people", "cause": "people disagree"}
    return NoiseScore.objects.create(comparison=comparison, **(values | fields))


def make_rubric(project: Project, *, criteria: int = 2, **fields: Any) -> Rubric:
    """A draft."""
    rubric = Rubric.objects.create(project=project, **({"name": f"rubric{next(_numbers)}", "version": 1} | fields))
    for position in range(criteria):
        Criterion.objects.create(
            rubric=rubric, position=position, kind="principle", text=f"Is right in point {position}."
        )
    return rubric


def native_line(comparison: Comparison, side: str = "a") -> str:
    """The native row of a comparison of which one side is chosen, as a version keeps it."""
    chosen, rejected = comparison.completion_a, comparison.completion_b
    if side == "b":
        chosen, rejected = rejected, chosen
    row = {
        "id": comparison.external_id, "prompt": comparison.prompt.messages, "chosen": chosen.messages,
        "rejected": rejected.messages, "chosen_side": side, "preference": -1.0 if side == "a" else 1.0,
        "probability": 0.9, "margin": 1.0, "source": "human", "n_annotators": 0, "n_judges": 0, "votes": [],
        "generator_chosen": chosen.generator, "generator_rejected": rejected.generator, "group": comparison.group,
        "split": "train", "metadata": "{}",
    }  # fmt: skip
    return ndjson_line(normalise(row)).decode().rstrip("\n")


def make_version(
    project: Project, comparisons: Sequence[Comparison], *, name: str = "", **fields: Any
) -> DatasetVersion:
    """A ready version: the given comparisons are its train split, all others of the project are left out as ties."""
    dataset, _ = Dataset.objects.get_or_create(project=project, name=name or f"set-{next(_numbers)}")
    version = DatasetVersion.objects.create(
        dataset=dataset, number=dataset.versions.count() + 1, recipe={"ties": "drop"}, recipe_sha256="1" * 64
    )
    for position, comparison in enumerate(comparisons):
        DatasetRow.objects.create(
            version=version,
            position=position,
            comparison=comparison,
            split="train",
            side="a",
            probability=0.9,
            line=native_line(comparison),
            sha256="2" * 64,
        )
    others = project.comparisons.exclude(pk__in=[c.pk for c in comparisons])
    for other in others:
        DroppedRow.objects.create(version=version, comparison=other, rule="tie", cause="the consensus is a tie")
    VersionFile.objects.create(
        version=version, name="train.parquet", split="train", rows=len(comparisons),
        artifact=store.put(b"PAR1 not really", "application/vnd.apache.parquet"),
    )  # fmt: skip
    values: dict[str, Any] = {
        "status": "ready", "rows_sha256": "3" * 64, "counts": {"train": len(comparisons)}, "card": "# A card",
        "dropped": {"tie": others.count()} if others else {},
    }  # fmt: skip
    DatasetVersion.objects.filter(pk=version.pk).update(**(values | fields))
    version.refresh_from_db()
    return version


def make_evaluation_set(project: Project, name: str, *texts: str) -> EvaluationSet:
    file = io.BytesIO("\n".join(texts or (f"A question of {name}?",)).encode())
    return evaluation_sets.add(project, name, file, filename="set.txt")


def make_withdrawal(comparison: Comparison, *, version: DatasetVersion, position: int = 0) -> Withdrawal:
    """As if it had been taken back, from that place of the version too; nothing is altered."""
    withdrawal = Withdrawal.objects.create(
        project=comparison.project, kind="comparison", comparison=comparison, reason="Its author asks."
    )
    Tombstone.objects.create(
        withdrawal=withdrawal, version=version, position=position, external_id=comparison.external_id, split="train",
        verdict="chosen", sha256="5" * 64,
    )  # fmt: skip
    return withdrawal


def make_model(version: DatasetVersion, comparisons: Sequence[Comparison] = (), **fields: Any) -> RewardModel:
    """A reward model with one evaluation; it favours b by 2 in each of the given comparisons."""
    project = version.dataset.project
    values: dict[str, Any] = {
        "name": f"model-{next(_numbers)}", "config": {"head": "linear"}, "seed": 7, "training": {"loss": 0.31},
        "weights": store.put(b"weights", "application/octet-stream"),
        "model_config": store.put(b"{}", "application/json"),
    }  # fmt: skip
    model = RewardModel.objects.create(project=project, version=version, **(values | fields))
    share = {"value": 0.75, "low": 0.6, "high": 0.86, "n": 40}
    bins = [{"low": 0.5, "high": 0.6, "n": 20, "mean": 0.55, "frequency": 0.5}]
    gain = share | {"value": 0.25, "low": 0.05, "high": 0.4}
    metrics = {"accuracy": share, "length_baseline": share | {"value": 0.5}, "gain_over_length": gain, "ece": 0.08}
    Evaluation.objects.create(
        reward_model=model,
        benchmark=f"{version}/test",
        data_sha256="4" * 64,
        metrics=metrics | {"bins": bins, "n": 40},
    )
    for comparison in comparisons:
        RewardMargin.objects.create(reward_model=model, comparison=comparison, margin=2.0, held_out=True)
    return model


def make_run(project: Project, *, kind: str = "aggregate", status: str = "queued", **fields: Any) -> Run:
    """A run as it stands in the ledger; nothing is woken for it."""
    now = timezone.now()
    states: dict[str, dict[str, Any]] = {
        "queued": {},
        "running": {
            "attempt": 1,
            "started_at": now,
            "lease_expires_at": now + timedelta(minutes=1),
            "worker": "here:1",
        },
        "failed": {"started_at": now, "finished_at": now, "error": {"type": "Invalid", "message": "no such column"}},
        "succeeded": {"started_at": now, "finished_at": now, "result": {"comparisons": 3}},
    }
    return Run.objects.create(project=project, kind=kind, status=status, queue="default", **(states[status] | fields))
