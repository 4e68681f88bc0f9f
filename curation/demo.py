"""The whole loop on the bundled sample, through the same services that people, workers and the API use.

What is simulated is said to be: the people are raters of known skill and side bias who take leases and submit answers
as people do, and the judge is the scripted one that ships with the product. Everything else is the real mechanism.
"""

from __future__ import annotations

import json
import secrets
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np
import pyarrow.parquet as pq
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from annotate import policies
from annotate.models import Comparison, Judgement, Rater, Rubric
from annotate.services import answers, assigning, importing, judging, projects, raters, rubrics
from curation.models import Consensus, NoiseScore, RewardModel
from curation.services import building, exporting, verbs
from curation.stats.simulate import SimulatedRater, answer
from tiebreak.accounts.models import ApiToken, Membership, Project, Scope, User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import DomainError, Unavailable
from tiebreak.core.supervise import Supervisor, commands
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

SEED: Final = 20260
PEOPLE: Final = (
    SimulatedRater("sim-ada", skill=0.92, side_bias=0.0),
    SimulatedRater("sim-bo", skill=0.85, side_bias=0.05),
    SimulatedRater("sim-cy", skill=0.80, side_bias=-0.05),
    SimulatedRater("sim-di", skill=0.75, side_bias=0.10),
    SimulatedRater("sim-ed", skill=0.60, side_bias=0.30),  # tired, and fond of the left
)
# A small sample needs a large test split: 25 of 100 groups, where a real project would keep 10.
RECIPE: Final = {"method": "dawid-skene", "split": {"train": 0.7, "validation": 0.05, "test": 0.25, "seed": 1}}
JUDGED_BY_PEOPLE: Final = 110  # the budget of the router, in comparisons


@dataclass
class Step:
    name: str
    did: str
    figures: dict[str, Any]
    seconds: float


@dataclass
class Demo:
    """One run of the loop. `say` gets a line as each step ends, `warn` what goes wrong while it serves."""

    say: Callable[[str], Any]
    warn: Callable[[str], Any]
    port: int
    steps: list[Step] = field(default_factory=list)
    passwords: dict[str, str] = field(default_factory=dict)
    supervisor: Supervisor | None = None

    def loop(self) -> None:
        """Parts 4 to 10 of the loop, in order; each step leaves what the next one needs in the database."""
        self.project = self._step("set up", self._set_up)
        self._step("import", self._import)
        self._step("judge", self._judge)
        self._step("route", self._route)
        self._step("people", self._people)
        self._step("aggregate", self._aggregate)
        self._step("rubric", self._rubric)
        self._step("noise", self._noise)
        self.version = self._step("dataset", self._dataset)
        self._step("card", self._card)
        self._step("pull", self._pull)
        self._step("train", self._train)
        self._step("send back", self._send_back)
        self._step("people again", self._people_again)

    def _step(self, name: str, act: Callable[[], tuple[str, dict[str, Any], Any]]) -> Any:
        started = time.monotonic()
        did, figures, made = act()
        self.steps.append(Step(name, did, figures, time.monotonic() - started))
        self.say(f"{name:<12} {self.steps[-1].seconds:6.1f} s  {did}")
        return made

    # --- the steps ----------------------------------------------------------------------------------------------

    def _set_up(self) -> tuple[str, dict[str, Any], Project]:
        slug = next(s for s in _slugs("demo") if not Project.objects.filter(slug=s).exists())
        owner = self._user(f"{slug}-curator")
        project = projects.create_project(
            slug,
            f"Demo: assistants compared ({slug})",
            by=owner,
            description="The bundled sample. Its people and its judge are simulated.",
            overlap=3,
            repeat_rate=0.1,
            levels=3,
            aspects=[{"key": "correct", "label": "More correct"}, {"key": "clear", "label": "Clearer"}],
            reasons=["follows the instruction", "wrong fact", "too long", "tone"],
            guidelines="Choose the response that you would rather have received. Right comes before pretty.",
        )
        for name, role in ((f"{slug}-annotator", Role.ANNOTATOR), (f"{slug}-viewer", Role.VIEWER)):
            Membership.objects.create(project=project, user=self._user(name), role=role)
        self.owner = owner
        return f"project {slug}, three sign-ins", {"project": slug}, project

    def _user(self, name: str) -> User:
        self.passwords[name] = secrets.token_urlsafe(9)
        user: User = User.objects.create_user(name, password=self.passwords[name])
        return user

    def _import(self) -> tuple[str, dict[str, Any], None]:
        with (_sample() / "comparisons.jsonl").open("rb") as file:
            run = importing.start_import(self.project, file, filename="sample.jsonl", by=self.owner, wake=False)
        result = _done(ledger.execute(run.pk))
        did = f"{result['created']} comparisons created, {result['rejected']} rejected"
        return did, {k: result[k] for k in ("created", "updated", "unchanged", "rejected")}, None

    def _judge(self) -> tuple[str, dict[str, Any], None]:
        self.judge = raters.create_judge(
            self.project,
            by=self.owner,
            name="scripted",
            kind="pairwise",
            backend="scripted",
            model="scripted-judge",
            config={"backend": {"qualities": self._qualities(), "skill": 0.9, "side_bias": 0.4, "seed": SEED}},
        )
        result = self._verb("judge", judge="scripted")
        figures = {k: result[k] for k in ("comparisons", "parsed", "unparsed", "failed", "cost")}
        did = f"{result['parsed']} verdicts in both orders, {result['unparsed']} unparsed, cost {result['cost']}"
        return did, figures, None

    def _qualities(self) -> dict[str, float]:
        """How good its author thinks each completion is, by the hash of its text: what the scripted judge is told."""
        found: dict[str, float] = {}
        for comparison in Comparison.objects.filter(project=self.project).select_related(
            "completion_a", "completion_b"
        ):
            preference = self.authors[comparison.external_id]["preference"]
            for completion, sign in ((comparison.completion_a, -1), (comparison.completion_b, 1)):
                found[sha256(completion.text.encode()).hexdigest()] = sign * preference / 2
        return found

    @property
    def authors(self) -> dict[str, dict[str, Any]]:
        text = (_sample() / "authors.jsonl").read_text("utf-8")
        return {row["id"]: row for row in map(json.loads, text.splitlines())}

    def _route(self) -> tuple[str, dict[str, Any], None]:
        result = self._verb("route", budget=JUDGED_BY_PEOPLE * 3, seed=SEED)
        left = result["judge"] - result["held"]
        did = f"{result['human']} to people, {result['audit']} to audit the judge; {left} left to it, as gold admits it"
        return did, {k: result[k] for k in ("human", "judge", "held", "audit", "exploration")}, None

    def _people(self) -> tuple[str, dict[str, Any], None]:
        made = self._simulate_people()
        people = Judgement.objects.current().filter(comparison__project=self.project, rater__kind="annotator")
        left = people.filter(preference__lt=0, order="ab").count() + people.filter(preference__gt=0, order="ba").count()
        decided = people.exclude(preference=0).exclude(preference=None).count()
        again = people.filter(repeat__gt=0).count()
        figures = {
            "judgements": made - again,
            "hidden_repeats": again,
            "raters": len(PEOPLE),
            "simulated": True,
            "left_share": round(left / max(decided, 1), 3),
        }
        did = f"{made - again} judgements and {again} hidden repeats by {len(PEOPLE)} simulated raters, each on a lease"
        return did, figures, None

    def _simulate_people(self, *, seed: int = SEED, most: int | None = None) -> int:
        """Each simulated rater leases, reads and submits in turn, until nothing is left for them or `most` are made."""
        rng = np.random.default_rng(seed)
        authors, made = self.authors, 0
        members = [(person, self._simulated(person)) for person in PEOPLE]
        while members and (most is None or made < most):
            for person, rater in list(members)[: None if most is None else most - made]:
                assignment = assigning.next_assignment(rater, now=timezone.now())
                if assignment is None:
                    members.remove((person, rater))
                    continue
                author = authors[assignment.comparison.external_id]
                said = answer(author["preference"], person, a_first=assignment.order == "ab", levels=3, rng=rng)
                bad = bool(author["both_bad"] and rng.random() < person.skill)
                judging.submit(
                    assignment,
                    answers.Answer(
                        choice=policies.to_screen(said, assignment.order),
                        both_bad=bad,
                        justification=author["why"] if said and said * author["preference"] > 0 else "",
                        seconds=float(rng.gamma(4.0, 9.0)),
                    ),
                    by=_user_of(rater),
                    key=uuid4(),
                    now=timezone.now(),
                )
                made += 1
        return made

    def _simulated(self, person: SimulatedRater) -> Rater:
        user, new = User.objects.get_or_create(username=f"{self.project.slug}-{person.name}")
        if new:
            user.set_unusable_password()
            user.save()
            Membership.objects.create(project=self.project, user=user, role=Role.ANNOTATOR)
        rater = assigning.rater_for(self.project, user)
        Rater.objects.filter(pk=rater.pk).update(simulated=True)
        return rater

    def _aggregate(self) -> tuple[str, dict[str, Any], None]:
        result = self._verb("aggregate", method="dawid-skene")
        alpha = result["alpha_people"]
        authors = self.authors
        right = tried = 0
        for row in Consensus.objects.filter(comparison__project=self.project).select_related("comparison"):
            truth = authors[row.comparison.external_id]["preference"]
            if truth:
                tried += 1
                right += row.side == ("a" if truth < 0 else "b")
        figures = {
            "comparisons": result["comparisons"],
            "judgements": result["judgements"],
            "converged": result["converged"],
            "iterations": result["iterations"],
            "alpha_people": alpha,
            "right_by_authors": round(right / max(tried, 1), 3),
        }
        did = f"alpha of people {_interval(alpha)}; {right} of {tried} decided as their authors do"
        return did, figures, None

    def _rubric(self) -> tuple[str, dict[str, Any], None]:
        result = self._verb("rubrics", judge="scripted", name="demo", examples=12)
        rubric = Rubric.objects.filter(pk=result["rubric"]).first() if result["rubric"] else None
        figures = {k: result[k] for k in ("proposed", "kept", "tried", "reproduced")} | {"approved": False, "judged": 0}
        if rubric is None:
            return (
                f"{result['proposed']} criteria proposed, none reproduced known preferences well enough",
                figures,
                None,
            )
        rubrics.approve(rubric, by=self.owner)
        projects.change_form(self.project, by=self.owner, rubric=rubric)
        raters.create_judge(
            self.project, by=self.owner, name="scripted-rubric", kind="rubric", backend="scripted", rubric=rubric,
            model="scripted-judge", config=self.judge.config,
        )  # fmt: skip
        judged = self._verb("judge", judge="scripted-rubric", limit=40)
        figures |= {"approved": True, "judged": judged["comparisons"]}
        did = f"{result['kept']} of {result['proposed']} criteria kept, approved, used {judged['comparisons']} times"
        return did, figures, None

    def _noise(self) -> tuple[str, dict[str, Any], None]:
        self._verb("aggregate", method="dawid-skene")
        result = self._verb("noise", method="consensus-entropy")
        scores = NoiseScore.objects.filter(comparison__project=self.project)
        figures = {"scored": result["scored"], "decisions": result["decisions"]}
        worst = scores.order_by("-score").first()
        did = (
            f"{result['scored']} scored; worst: {worst.comparison.external_id} ({worst.cause})"
            if worst
            else "nothing to score"
        )
        return did, figures, None

    def _dataset(self) -> tuple[str, dict[str, Any], Any]:
        name = f"{self.project.slug}-preferences"
        version = building.start(name, self.project, RECIPE, by=self.owner, wake=False)
        result = _done(ledger.execute(version.run_id or 0))
        version.refresh_from_db()
        figures = {k: result[k] for k in ("version", "rows_sha256", "counts", "dropped")}
        dropped = ", ".join(f"{n} {rule}" for rule, n in result["dropped"].items()) or "none"
        return f"{result['version']}: {sum(result['counts'].values())} rows; dropped: {dropped}", figures, version

    def _card(self) -> tuple[str, dict[str, Any], None]:
        """What the version says of itself: how far its labels follow looks, and what to know before training."""
        told = self.version.statistics
        rates = {rate["label"]: rate for section in ("length", "baseline") for rate in told["bias"].get(section, ())}
        names = {"all": "the longer is chosen", "length": "length alone tells", "length and layout": "with layout"}
        cautions = [each["name"] for each in told.get("cautions", ())]
        path = reverse("version", args=[self.project.slug, self.version.dataset.name, self.version.number])
        shares = ", ".join(f"{words} {_interval(rates[label])}" for label, words in names.items() if label in rates)
        did = f"{shares}; {len(cautions)} cautions; {path}#card-title"
        return did, {"bias": rates, "cautions": cautions, "card": path}, None

    def _pull(self) -> tuple[str, dict[str, Any], None]:
        self._serve()
        _, secret = ApiToken.issue(
            self.owner,
            "demo training job",
            [Scope.TRAIN],
            expires_at=timezone.now() + timedelta(days=1),
            project=self.project,
        )
        base = (
            f"http://127.0.0.1:{self.port}/api/v1/datasets/{self.version.dataset.name}/versions/{self.version.number}/"
        )
        manifest = json.loads(_get(base, secret))
        file = next(f for f in manifest["files"] if f["name"] == "train.parquet")
        data = _get(base + "files/train.parquet", secret)
        same = sha256(data).hexdigest() == file["sha256"]
        lines = _get(base + "rows/?format=trl&split=train", secret).splitlines()
        refused = _status(base + "files/test.parquet", secret)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "train.parquet"
            path.write_bytes(data)
            rows = pq.read_table(path).num_rows
            exporting.export_to(self.version, format="trl", folder=Path(folder) / "trl")
        if not same or rows != len(lines):
            raise DomainError(
                f"The pulled file and the manifest disagree: {rows} rows, {len(lines)} lines, hash equal: {same}."
            )
        figures = {
            "rows": rows,
            "lines": len(lines),
            "bytes": len(data),
            "hash_equal": same,
            "test_split_status": refused,
        }
        return (
            f"{rows} rows by Parquet and NDJSON over REST, hash equal; the test split was refused ({refused})",
            figures,
            None,
        )

    def _train(self) -> tuple[str, dict[str, Any], None]:
        result = self._verb("train", version=str(self.version), seed=SEED)
        self.model = RewardModel.objects.get(name=result["model"])
        metrics = result["test"]
        baseline = _interval(metrics["length_baseline"])
        did = f"{result['model']}: accuracy {_interval(metrics['accuracy'])}, length alone {baseline}"
        keys = ("accuracy", "length_baseline", "ece", "n")
        return did, {"model": result["model"]} | {k: metrics[k] for k in keys}, None

    def _send_back(self) -> tuple[str, dict[str, Any], None]:
        noise = self._verb("noise", method="all")
        result = self._verb("return", model=self.model.name, limit=8)
        figures = {
            "returned": result["returned"],
            "considered": result["considered"],
            "noise_decisions": noise["decisions"],
        }
        return f"{result['returned']} confident disagreements back in the queue, first in line", figures, None

    def _people_again(self) -> tuple[str, dict[str, Any], None]:
        """Half of what came back is answered; the other half waits for whoever signs in."""
        waiting = Comparison.objects.filter(project=self.project).exclude(returned_because="").open()
        made = self._simulate_people(seed=SEED + 1, most=waiting.count() // 2)
        result = self._verb("aggregate", method="dawid-skene")
        figures = {"judgements": made, "waiting": waiting.count(), "settled": result["settled"]}
        return f"{made} answered again, {figures['waiting']} wait for you", figures, None

    # --- helpers ------------------------------------------------------------------------------------------------

    def _verb(self, verb: str, **given: Any) -> dict[str, Any]:
        return _done(verbs.run_here(verb, self.project, given, by=self.owner))

    def _serve(self) -> None:
        """Start web and worker, as `manage.py up` does, and wait until the page answers."""
        wanted = commands(host="127.0.0.1", port=self.port, data_dir=settings.ENV.data_dir)
        self.supervisor = Supervisor(wanted, say=self.warn, cwd=settings.BASE_DIR)
        self.supervisor.start()
        url = f"http://127.0.0.1:{self.port}/readyz"
        for _ in range(150):
            if _status(url, "") == 200:
                return
            if self.supervisor.children["web"].poll() is not None:
                break
            time.sleep(0.2)
        raise Unavailable(f"The web process does not answer at {url}.", code="web_down")


def _user_of(rater: Rater) -> User:
    if rater.user is None:
        raise DomainError(f"The simulated rater {rater} has no user.")
    return rater.user


def _slugs(first: str) -> Iterator[str]:
    yield first
    number = 2
    while True:
        yield f"{first}-{number}"
        number += 1


def _sample() -> Path:
    return Path(str(files("annotate"))) / "sample"


def _done(run: Run | None) -> dict[str, Any]:
    if run is None or run.status != Run.Status.SUCCEEDED:
        raise DomainError(f"{run} did not succeed: {run.error if run else 'another worker has it'}")
    result: dict[str, Any] = run.result
    return result


def _interval(estimate: Mapping[str, Any]) -> str:
    if estimate.get("value") is None:
        return f"undefined ({estimate.get('reason')})"
    return f"{estimate['value']:.2f} [{estimate['low']:.2f}, {estimate['high']:.2f}]"


def _get(url: str, secret: str) -> bytes:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {secret}"})  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=30) as answer_:  # noqa: S310
        data: bytes = answer_.read()
    return data


def _status(url: str, secret: str) -> int:
    try:
        _get(url, secret)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
    return 200


@contextmanager
def demo(say: Callable[[str], Any], warn: Callable[[str], Any], port: int) -> Iterator[Demo]:
    """A demo whose processes are stopped at the end, however it ends."""
    running = Demo(say, warn, port)
    try:
        yield running
    finally:
        if running.supervisor is not None:
            running.supervisor.stop()
