"""What curation, runs, accounts, the API and the audit log must never store is refused by the database itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import connection, transaction
from django.utils import timezone

from curation.models import (
    BudgetGrant,
    ComparisonVector,
    CompletionVector,
    Consensus,
    DatasetRow,
    DatasetVersion,
    DroppedRow,
    Encoder,
    Evaluation,
    EvaluationSet,
    Followed,
    NoiseDecision,
    NoiseScore,
    NoiseTreatment,
    ProjectEncoder,
    PromptVector,
    RaterSkill,
    RewardMargin,
    RoutingPolicy,
    RoutingSettings,
    Tombstone,
    VersionContribution,
    VersionFile,
    VersionNote,
    VersionTag,
    VersionWork,
    Withdrawal,
)
from tests import build
from tests.refusals import RESTRICT, Violation, again, change, constraints_of, refused, triggers_of, untested
from tiebreak.accounts.models import ApiToken, Membership
from tiebreak.accounts.roles import Role
from tiebreak.api.models import IdempotentResponse
from tiebreak.core.models import Event, record
from tiebreak.runs import store
from tiebreak.runs.models import RunArtifact

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]
APPS: Final = ("curation", "runs", "accounts", "core", "api")


class World:
    """One row of everything; one version is ready, the other is building."""

    def __init__(self) -> None:
        self.user = build.make_user()
        self.project = build.make_project(owner=self.user)
        self.member = Membership.objects.get(project=self.project)
        self.token = ApiToken.issue(self.user, "t", ["curate"], expires_at=timezone.now() + timedelta(days=1))[0]
        self.comparison, self.other = (build.make_comparison(self.project) for _ in range(2))
        self.rater = build.make_rater(self.project)
        self.aggregation = build.make_aggregation(self.project)
        self.consensus = build.make_consensus(self.aggregation, self.comparison, (0.7, 0.1, 0.2))
        self.skill = build.make_skill(self.aggregation, self.rater)
        self.noise = build.make_noise(self.comparison)
        self.treatment = NoiseTreatment.objects.create(project=self.project, policy={"rules": []})
        self.noise_decision = NoiseDecision.objects.create(
            treatment=self.treatment, comparison=self.comparison, action="drop", method="m", score=1, cause="c"
        )
        self.routing = build.make_routing(self.comparison)
        self.policy = RoutingPolicy.objects.create(project=self.project, name="p", version=1, kind="uncertainty")
        self.routing_settings = RoutingSettings.objects.create(project=self.project)
        self.grant = BudgetGrant.objects.create(project=self.project, money=1)
        self.ready = build.make_version(self.project, [self.comparison])
        self.model = build.make_model(self.ready, [self.comparison])
        self.evaluation = Evaluation.objects.get()
        self.margin = RewardMargin.objects.get()
        self.version = DatasetVersion.objects.create(
            dataset=self.ready.dataset, number=2, recipe={}, recipe_sha256="1" * 64
        )
        self.row = DatasetRow.objects.create(
            version=self.version,
            position=0,
            comparison=self.comparison,
            split="train",
            side="a",
            line="{}",
            sha256="2" * 64,
        )
        self.dropped = DroppedRow.objects.create(version=self.version, comparison=self.other, rule="tie", cause="a tie")
        self.artifact = store.put(b"rows", "text/plain")
        self.file = VersionFile.objects.create(
            version=self.version, name="train.parquet", split="train", rows=1, artifact=self.artifact
        )
        self.tag = VersionTag.objects.create(dataset=self.ready.dataset, name="prod", version=self.ready)
        self.note = VersionNote.objects.create(version=self.ready, text="the one of May")
        self.contribution = VersionContribution.objects.create(
            version=self.version, rater=self.rater, rows=1, judgements=1
        )
        self.work = VersionWork.objects.create(
            version=self.version, kind="judge", rows=1, judgements=1, seconds=0, timed=0, price=0, priced=1
        )
        self.withdrawal = Withdrawal.objects.create(
            project=self.project, kind="rater", rater=self.rater, reason="asked for it"
        )
        self.tombstone = Tombstone.objects.create(
            withdrawal=self.withdrawal, version=self.ready, position=5, external_id="c", split="train",
            verdict="chosen", sha256="2" * 64,
        )  # fmt: skip
        self.set = EvaluationSet.objects.create(
            project=self.project, name="bench", texts=1, sha256="6" * 64, artifact=self.artifact
        )
        self.encoder = Encoder.objects.create(spec="minilm", fingerprint="f", dimension=2)
        self.project_encoder = ProjectEncoder.objects.create(project=self.project, encoder=self.encoder)
        of = {"encoder": self.encoder, "vector": [0.6, 0.8]}
        self.vectors = {
            "prompt": PromptVector.objects.create(prompt=self.comparison.prompt, **of),
            "completion": CompletionVector.objects.create(completion=self.comparison.completion_a, **of),
            "comparison": ComparisonVector.objects.create(
                comparison=self.comparison, prompt=1, completion_a=2, completion_b=3, **of
            ),
        }
        self.followed = Followed.objects.get_or_create(pk=1)[0]
        self.run = build.make_run(self.project)
        self.kept = RunArtifact.objects.create(run=self.run, artifact=self.artifact, name="rows")
        self.answer = IdempotentResponse.objects.create(user=self.user, key="k", request_sha256="5" * 64)
        self.event = record("test.happened", self.project, by=self.user, project=self.project)

    def of_comparison(self) -> Withdrawal:
        return Withdrawal.objects.create(
            project=self.project, kind="comparison", comparison=self.comparison, reason="its author asked for it"
        )

    def other_treatment(self) -> NoiseTreatment:
        return NoiseTreatment.objects.create(project=self.project, policy={})


REFUSED: Final[dict[str, Violation]] = {
    # Accounts
    "accounts.User.username": lambda w: again(w.user, username=w.user.username),
    "accounts.Project.slug": lambda w: again(w.project, slug=w.project.slug),
    "member_once": lambda w: again(w.member, role="viewer"),
    "member_role_known": lambda w: change(w.member, role="admin"),
    "token_scopes_known": lambda w: change(w.token, scopes=["curate", "everything"]),
    "accounts.ApiToken.prefix": lambda w: again(w.token, prefix=w.token.prefix),
    # Runs
    "run_status_known": lambda w: change(w.run, status="lost", finished_at=timezone.now()),
    "run_running_has_lease": lambda w: change(w.run, status="running"),
    "run_ended_has_time": lambda w: change(w.run, status="cancelled"),
    "artifact_size": lambda w: change(w.artifact, size=-1),
    "run_artifact_once": lambda w: again(w.kept),
    # The API
    "idempotency_key_once": lambda w: again(w.answer),
    # Conclusions
    "aggregation_one_current": lambda w: again(w.aggregation),
    "consensus_probability": lambda w: change(w.consensus, p_tie=-0.01),
    "curation.Consensus.comparison": lambda w: again(w.consensus, comparison=w.consensus.comparison),
    "followed_one_row": lambda w: Followed.objects.create(pk=2),
    "curation.Encoder.fingerprint": lambda w: again(w.encoder, fingerprint=w.encoder.fingerprint),
    "encoder_dimension": lambda w: change(w.encoder, dimension=0),
    "curation.ProjectEncoder.project": lambda w: again(w.project_encoder, project=w.project),
    "prompt_vector_once": lambda w: again(w.vectors["prompt"]),
    "completion_vector_once": lambda w: again(w.vectors["completion"]),
    "comparison_vector_once": lambda w: again(w.vectors["comparison"]),
    "rater_skill_once": lambda w: again(w.skill),
    "noise_once": lambda w: again(w.noise),
    "noise_score": lambda w: change(w.noise, score=1.01),
    "noise_decision_one_current": lambda w: again(w.noise_decision, treatment=w.other_treatment()),
    "noise_decision_once": lambda w: again(w.noise_decision, current=False),
    "noise_action_known": lambda w: change(w.noise_decision, action="burn"),
    "routing_policy_version": lambda w: again(w.policy),
    "routing_policy_status_known": lambda w: change(w.policy, status="lost"),
    "routing_policy_share": lambda w: change(w.policy, share=1.01),
    "curation.RoutingSettings.project": lambda w: again(w.routing_settings, project=w.project),
    "routing_hourly_rate": lambda w: change(w.routing_settings, hourly_rate=-1),
    "routing_seconds": lambda w: change(w.routing_settings, seconds=0),
    "routing_trust_has_reason": lambda w: change(w.routing_settings, trusted_at=timezone.now()),
    "budget_grant_of_something": lambda w: change(w.grant, money=0, hours=0),
    "routing_one_current": lambda w: again(w.routing),
    "routing_route_known": lambda w: change(w.routing, route="both"),
    # Datasets
    "curation.Dataset.name": lambda w: again(w.ready.dataset, name=w.ready.dataset.name),
    "version_number": lambda w: again(w.version),
    "version_status_known": lambda w: change(w.version, status="draft"),
    "version_ready_has_hash": lambda w: change(w.version, status="ready"),
    "row_position": lambda w: again(w.row, comparison=None),
    "row_comparison_once": lambda w: again(w.row, position=1),
    "dropped_once": lambda w: again(w.dropped),
    "row_side_goes_with_verdict": lambda w: change(w.row, verdict="tie"),
    "version_file_once": lambda w: again(w.file),
    "contribution_once": lambda w: again(w.contribution),
    "version_work_once": lambda w: again(w.work),
    "tag_once": lambda w: again(w.tag),
    "tag_name": lambda w: change(w.tag, name="latest"),
    "withdrawal_rater_once": lambda w: again(w.withdrawal),
    "withdrawal_comparison_once": lambda w: [w.of_comparison() for _ in range(2)],
    "withdrawal_of_one_thing": lambda w: change(w.withdrawal, comparison=w.comparison),
    "tombstone_once": lambda w: again(w.tombstone),
    "evaluation_set_once": lambda w: again(w.set),
    # Reward models
    "model_stage_known": lambda w: change(w.model, stage="best"),
    "curation.RewardModel.name": lambda w: again(w.model, name=w.model.name),
    "evaluation_once": lambda w: again(w.evaluation),
    "margin_once": lambda w: again(w.margin),
}


def frozen(w: World, model: type[Any]) -> Any:
    return model.objects.filter(version=w.ready).first()


# By trigger: every way in which what is immutable could be written.
TRIGGERS: Final[dict[str, dict[str, Violation]]] = {
    "event_append_only": {
        "update": lambda w: change(w.event, verb="test.never"),
        "delete": lambda w: Event.objects.filter(pk=w.event.pk).delete(),
    },
    "version_immutable": {
        "its counts": lambda w: change(w.ready, counts={"train": 9}),
        "its statistics": lambda w: change(w.ready, statistics={"rows": 9}),
        "its status": lambda w: change(w.ready, status="building"),
        "its run exchanged": lambda w: change(w.ready, run=w.run),
        "its statistics together with its run": lambda w: change(w.ready, statistics={"rows": 9}, run=w.run),
        "its recipe's hash together with its author": lambda w: change(
            w.ready, recipe_sha256="9" * 64, created_by=w.user
        ),
        "delete": lambda w: DatasetVersion.objects.filter(pk=w.ready.pk)._raw_delete("default"),
    },
    "policy_immutable": {
        "its parameters": lambda w: change(w.policy, params={"audit": 0}),
        "its kind": lambda w: change(w.policy, kind="random"),
        "its number": lambda w: change(w.policy, version=9),
        "its name together with its state": lambda w: change(w.policy, name="q", status="active"),
    },
    "row_insert_immutable": {
        "insert": lambda w: again(w.row, version=w.ready, position=7, comparison=None),
    },
    "row_immutable": {
        "update": lambda w: change(frozen(w, DatasetRow), line='{"id": "x"}'),
        "moved in": lambda w: change(w.row, version=w.ready, position=7, comparison=None),
        "moved out": lambda w: change(frozen(w, DatasetRow), version=w.version, position=7, comparison=None),
        "delete": lambda w: DatasetRow.objects.filter(version=w.ready).delete(),
    },
    "dropped_insert_immutable": {
        "insert": lambda w: again(w.dropped, version=w.ready, comparison=w.comparison),
    },
    "dropped_immutable": {
        "update": lambda w: change(frozen(w, DroppedRow), cause="because"),
        "moved in": lambda w: change(w.dropped, version=w.ready, comparison=w.comparison),
        "delete": lambda w: DroppedRow.objects.filter(version=w.ready).delete(),
    },
    "file_immutable": {
        "update": lambda w: change(frozen(w, VersionFile), artifact=w.artifact),
        "insert": lambda w: again(w.file, version=w.ready, name="more.parquet"),
        "moved in": lambda w: change(w.file, version=w.ready, name="more.parquet"),
        "delete": lambda w: VersionFile.objects.filter(version=w.ready).delete(),
    },
    "contribution_immutable": {
        "insert": lambda w: again(w.contribution, version=w.ready),
        "moved in": lambda w: change(w.contribution, version=w.ready),
    },
    "work_immutable": {
        "insert": lambda w: again(w.work, version=w.ready),
        "moved in": lambda w: change(w.work, version=w.ready),
    },
    "note_immutable": {
        "update": lambda w: change(w.note, text="another"),
        "delete": lambda w: VersionNote.objects.filter(pk=w.note.pk).delete(),
    },
    "tombstone_immutable": {
        "update": lambda w: change(w.tombstone, sha256="7" * 64),
        "delete": lambda w: Tombstone.objects.filter(pk=w.tombstone.pk).delete(),
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_database_refuses(name: str) -> None:
    world = World()
    with refused(name):
        REFUSED[name](world)


@pytest.mark.parametrize(("trigger", "way"), [(t, way) for t, ways in TRIGGERS.items() for way in ways])
def test_what_is_immutable_cannot_be_written(trigger: str, way: str) -> None:
    world = World()
    with refused(state=RESTRICT):
        TRIGGERS[trigger][way](world)


def test_every_constraint_has_its_violation() -> None:
    message = untested(REFUSED, constraints_of(*APPS))
    assert not message, message
    message = untested(TRIGGERS, triggers_of(*APPS))
    assert not message, message


def test_a_ready_version_may_lose_the_links_to_what_was_deleted() -> None:
    world = World()
    run, author = build.make_run(world.project), build.make_member(world.project, Role.CURATOR)
    version = build.make_version(world.project, [world.comparison], name="linked", run=run, created_by=author)
    run.delete()
    author.delete()
    version.refresh_from_db()
    assert (version.status, version.run_id, version.created_by_id) == ("ready", None, None)


def test_only_an_operator_who_says_so_may_erase_and_only_in_that_transaction() -> None:
    world = World()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL tiebreak.erase = 'on'")
        DroppedRow.objects.filter(version=world.ready).delete()
        Event.objects.filter(pk=world.event.pk).delete()
        cursor.execute("SET LOCAL tiebreak.erase = 'off'")
    with refused(state=RESTRICT):
        DatasetRow.objects.filter(version=world.ready).delete()


def test_a_version_that_is_building_can_still_be_written(storage: Path) -> None:
    world = World()
    change(world.row, line='{"id": "x"}')
    change(world.version, statistics={"rows": 1})
    world.file.delete()
    assert Consensus.objects.count() == RaterSkill.objects.count() == NoiseScore.objects.count() == 1
