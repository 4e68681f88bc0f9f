"""REST for training jobs and curators: datasets, their versions, rows and files, reward models, and the verbs."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, ClassVar, Final

from django.core.cache import cache
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, mixins, viewsets
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.models import Judge, Rubric
from annotate.services import raters
from annotate.services import rubrics as rubric_services
from curation.exports.files import wire_line
from tiebreak.accounts.models import ApiToken, Project, Scope
from tiebreak.accounts.roles import Can
from tiebreak.api.idempotency import idempotent
from tiebreak.api.negotiation import TakeIt
from tiebreak.api.permissions import Scoped, project_for, visible_projects
from tiebreak.api.queries import refuse_unknown
from tiebreak.api.ranges import knows, serve
from tiebreak.api.throttles import streamed
from tiebreak.core.errors import Conflict, Gone, Invalid, NotAllowed, NotFound, Stale
from tiebreak.core.models import record
from tiebreak.runs import store

from . import serializers as shapes
from .models import Dataset, DatasetVersion, RewardModel
from .services import building, exporting, rewards, verbs, versions
from .services.lines import Asked
from .services.reading import agreement

READERS = (Scope.EXPORT, Scope.TRAIN, Scope.CURATE)
NDJSON: Final = "application/x-ndjson"
BUILD_TAKES: Final = 5  # seconds, after which to ask again


def readable_projects(request: Request) -> Any:
    """Projects whose data this caller may read: by role, and by the token's own project."""
    return Project.objects.where(request.user, Can.READ) & visible_projects(request)


def trains_only(request: Request) -> bool:
    """Whether this is a training token, which never reads the protected test split."""
    token = request.auth
    return isinstance(token, ApiToken) and not {Scope.EXPORT, Scope.CURATE} & set(token.scopes)


def refuse_test_split(request: Request, split: str | None) -> None:
    if trains_only(request) and split in (None, "test"):
        raise NotAllowed(
            "This token is for training: ask for one split, and not for the protected test split.",
            code="protected_split",
            split=split,
        )


class DatasetViewSet(Scoped, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Dataset]):
    scopes: ClassVar[tuple[str, ...]] = READERS
    serializer_class = shapes.DatasetOut
    lookup_field = "name"
    lookup_value_regex = "[a-z0-9-]+"
    queryset = Dataset.objects.none()

    def get_queryset(self) -> Any:
        found = Dataset.objects.filter(project__in=readable_projects(self.request))
        numbers = DatasetVersion.objects.only("dataset", "number", "status")  # never every card and its figures
        return found.select_related("project").prefetch_related(Prefetch("versions", numbers))


class VersionView(Scoped, APIView):
    """What every view of one version shares: finding it among what the caller may read."""

    scopes: ClassVar[tuple[str, ...]] = READERS
    content_negotiation_class = TakeIt

    def version(self, request: Request, name: str, number: str, *, must_be_ready: bool = True) -> DatasetVersion:
        """What a number, a tag or `latest` means. Raises Conflict, with when to ask again, while it is built."""
        visible = DatasetVersion.objects.filter(dataset__project__in=readable_projects(request))
        found = versions.find(name, number, visible=visible)
        if must_be_ready and found.status == DatasetVersion.Status.BUILDING:
            raise Conflict(
                f"{found} is being built: its rows can be read once it is ready.",
                code="version_building",
                run=found.run_id,
                retry_after=BUILD_TAKES,
            )
        return verbs.ready(found) if must_be_ready else found


class ManifestView(VersionView):
    @extend_schema(operation_id="version_manifest", responses=shapes.ManifestOut)
    def get(self, request: Request, name: str, number: str) -> Response:
        version = self.version(request, name, number, must_be_ready=False)
        told = shapes.ManifestOut(version, context={"request": request}).data
        etag = etag_of(JSONRenderer().render(told))
        if knows(request, etag):
            return Response(status=304, headers={"ETag": etag})
        headers = {"ETag": etag, "Cache-Control": "private, no-cache", "X-Tiebreak-Version": str(version)}
        return Response(told, headers=headers)


class BuildView(Scoped, APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE,)

    @extend_schema(operation_id="version_build", request=shapes.BuildIn, responses={202: shapes.BuildOut})
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        given = shapes.BuildIn(data=request.data)
        given.is_valid(raise_exception=True)
        project = project_for(request, given.validated_data["project"], Can.CURATE)
        version = building.start(name, project, given.validated_data.get("recipe") or {}, by=request.user)
        return Response(
            {"version": str(version), "number": version.number, "run": version.run_id},
            status=202,
            headers={"Location": f"/api/v1/runs/{version.run_id}/"},
        )


class RowsOf(VersionView):
    """What the views of rows share: which of them are asked for."""

    takes: ClassVar[tuple[str, ...]] = ("split", "undecided", "since")

    def asked(self, request: Request, name: str, number: str, *, format: str = "native") -> Asked:
        refuse_unknown(request, *self.takes)
        version = self.version(request, name, number)
        query = request.query_params
        split, since, undecided = query.get("split") or None, query.get("since", ""), query.get("undecided", "0")
        refuse_test_split(request, split)
        if undecided not in ("0", "1"):
            raise Invalid(f"undecided: expected 1 or 0, got {undecided[:60]!r}.", field="undecided")
        try:
            earlier = self.version(request, name, since) if since else None
        except Invalid:
            raise Invalid(f"since: expected a version's number or tag, got {since[:60]!r}.", field="since") from None
        return exporting.asked_for(version, format=format, split=split, undecided=undecided == "1", since=earlier)


SCOPE = [
    OpenApiParameter("split", str, description="train, validation or test; empty: all"),
    OpenApiParameter("undecided", int, enum=[0, 1], description="1: also ties and both-bad that the recipe kept"),
]


class RowsView(RowsOf):
    """Lines of JSON, streamed. What a broken connection had is not sent again: `cursor` says how many lines that was,
    and `If-Match` with the ETag of the first answer makes sure that they are still those lines.
    """

    takes: ClassVar[tuple[str, ...]] = ("format", *RowsOf.takes, "cursor")

    @extend_schema(
        operation_id="version_rows",
        parameters=[
            OpenApiParameter("format", str, enum=list(exporting.NAMES), default="native"),
            *SCOPE,
            OpenApiParameter("cursor", int, description="lines that you have already: the stream goes on after them"),
            OpenApiParameter("since", str, description="a version: only what a copy of it lacks or has otherwise"),
        ],
        responses={(200, "application/x-ndjson"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, name: str, number: str) -> HttpResponseBase:
        format = request.query_params.get("format", "native")
        asked = self.asked(request, name, number, format=format)
        cursor = request.query_params.get("cursor", "0")
        if not re.fullmatch("[0-9]{1,9}", cursor):
            raise Invalid(f"cursor: expected a number of lines, got {cursor[:60]!r}.", field="cursor")
        etag = etag_of(f"{asked.state()} {format}".encode())
        if knows(request, etag):
            return HttpResponse(status=304, headers={"ETag": etag})
        if (expected := request.headers.get("If-Match", "*")) not in ("*", etag):
            raise Stale("Rows were taken back since that ETag: begin again.", code="rows_changed", expected=expected)
        lines = exporting.stream(asked, format=format, skip=int(cursor))
        headers = {**_told(asked, exporting.count(asked, format=format)), "ETag": etag}
        body = streamed(request, lines)
        audited(request, "dataset.read", asked.version, split=asked.split, format=format)
        return StreamingHttpResponse(body, content_type=NDJSON, headers=headers)


class RemovedView(RowsOf):
    """Ids of the rows that a copy of an earlier version must lose to become this one: lose these, then put in the rows
    of `rows/?since=`. With `since` the version itself: what was withdrawn from it after the copy was made.
    """

    @extend_schema(
        operation_id="version_removed",
        parameters=[
            OpenApiParameter("since", str, required=True, description="the version that the copy is of"),
            *SCOPE,
        ],
        responses={(200, "application/x-ndjson"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, name: str, number: str) -> HttpResponseBase:
        asked = self.asked(request, name, number)
        if asked.since is None:
            raise Invalid("since: expected the version that your copy is of.", field="since")
        lines = (wire_line({"id": id_, "withdrawn": withdrawn}) for id_, withdrawn in asked.removed())
        headers = _told(asked)
        return StreamingHttpResponse(streamed(request, lines), content_type=NDJSON, headers=headers)


class RowView(VersionView):
    """One row by its id. 410 where it was withdrawn, with the hash that still stands for it in the chain."""

    @extend_schema(operation_id="version_row", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, name: str, number: str, row: str) -> HttpResponseBase:
        version = self.version(request, name, number)
        hidden = ["test"] if trains_only(request) else []
        row = row.replace("\x00", "\ufffd")  # which no id holds: the database takes no NUL, not even to look for
        found = version.rows.exclude(split__in=hidden).filter(comparison__external_id=row).first()
        if found is not None:
            audited(request, "dataset.read", version, split=found.split, format="row")
            return HttpResponse(found.line, content_type="application/json", headers={"ETag": f'"{found.sha256}"'})
        stone = version.tombstones.exclude(split__in=hidden).filter(external_id=row, became="").last()
        if stone is None:
            raise NotFound(f"{version} has no row {row[:200]!r} that you may read.", code="no_row")
        raise Gone(
            f"The row {row!r} of {version} was withdrawn on {stone.at:%Y-%m-%d}.",
            code="row_withdrawn",
            sha256=stone.sha256,
            at=stone.at.isoformat(),
            withdrawal=stone.withdrawal_id,
        )


def _told(asked: Asked, lines: int | None = None) -> dict[str, str]:
    """What a reader must know before the first line: how many there are, of which version, and what is not there."""
    version = asked.version
    headers = {
        "X-Tiebreak-Version": str(version),
        "X-Tiebreak-Left-Out": str(asked.left_out()),
        "X-Tiebreak-Withdrawn": str(asked.withdrawn().count()),
        "X-Accel-Buffering": "no",
        "Cache-Control": "private, no-cache",
    }
    if asked.since:
        headers["X-Tiebreak-Since"] = str(asked.since)
    return headers if lines is None else headers | {"X-Tiebreak-Rows": str(lines)}


def etag_of(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()}"'


class FileView(VersionView):
    @extend_schema(operation_id="version_file", responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, name: str, number: str, filename: str) -> HttpResponseBase:
        version = self.version(request, name, number)
        file = version.files.select_related("artifact").filter(name=filename).first()
        if file is None:
            known = ", ".join(version.files.values_list("name", flat=True))
            raise NotFound(f"{version} has no file {filename!r} (it has: {known}).", code="no_file")
        refuse_test_split(request, file.split)
        if request.method == "GET":
            audited(request, "dataset.download", version, file=filename)
        download = f"{version.dataset.name}-{version.number}-{filename}"
        plain = request.method == "GET" and "If-None-Match" not in request.headers
        if plain and (link := store.link(file.artifact, name=download)):
            return HttpResponse(
                status=302,
                headers={"Location": link, "Cache-Control": "private, no-store", "X-Tiebreak-Version": str(version)},
            )
        answer = serve(
            request._request,
            store.open_artifact(file.artifact),
            size=file.artifact.size,
            sha256=file.artifact_id,
            name=download,
            media_type=file.artifact.media_type,
        )
        answer["X-Tiebreak-Version"] = str(version)
        return answer

    @extend_schema(exclude=True)
    def head(self, request: Request, name: str, number: str, filename: str) -> HttpResponseBase:
        return self.get(request, name, number, filename)


def audited(request: Request, verb: str, version: DatasetVersion, **data: Any) -> None:
    """Write who reads what: once a day for each token, version and part of it, however often a reader seeks in it."""
    token = str(request.auth) if isinstance(request.auth, ApiToken) else ""
    part = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
    if cache.add(f"tiebreak:read:{token or request.user.pk}:{verb}:{version.pk}:{part}", 1, 24 * 3600):
        said = data | ({"token": token} if token else {})
        record(verb, version, by=request.user, project=version.dataset.project_id, **said)


class RewardModelViewSet(
    Scoped, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[RewardModel]
):
    scopes: ClassVar[tuple[str, ...]] = (Scope.TRAIN, Scope.CURATE, Scope.EXPORT)
    serializer_class = shapes.RewardModelOut
    lookup_field = "name"
    lookup_value_regex = "[^/\\x00]+"
    queryset = RewardModel.objects.none()

    def get_queryset(self) -> Any:
        found = RewardModel.objects.filter(project__in=readable_projects(self.request))
        return found.select_related("project", "version__dataset").prefetch_related(Prefetch("evaluations"))

    @extend_schema(request=shapes.ScoreIn, responses={202: shapes.StartedOut})
    @action(detail=True, methods=["post"])
    @idempotent
    def score(self, request: Request, name: str) -> Response:
        """Rewards of completions. A worker computes them: the answer is a run, whose result holds `rewards`."""
        given = shapes.ScoreIn(data=request.data)
        given.is_valid(raise_exception=True)
        model = self.get_object()
        project_for(request, model.project.slug, Can.CURATE)  # it takes a worker's time: reading is not enough
        if isinstance(request.auth, ApiToken) and not {Scope.TRAIN, Scope.CURATE} & set(request.auth.scopes):
            raise NotAllowed("Scoring takes a token with the scope train or curate.", code="scope_too_small")
        run = rewards.start_scoring(model, given.validated_data["rows"], by=request.user)
        return Response({"run": run.pk}, status=202, headers={"Location": f"/api/v1/runs/{run.pk}/"})


class VerbView(Scoped, APIView):
    """Start any of the curator's verbs in a project."""

    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE, Scope.JUDGE, Scope.TRAIN)
    NEEDS: ClassVar[dict[str, str]] = {"judge": Scope.JUDGE, "train": Scope.TRAIN, "evaluate": Scope.TRAIN}

    @extend_schema(operation_id="run_start", request=shapes.RunIn, responses={202: shapes.StartedOut})
    @idempotent
    def post(self, request: Request, slug: str) -> Response:
        given = shapes.RunIn(data=request.data)
        given.is_valid(raise_exception=True)
        kind = given.validated_data["kind"]
        project = project_for(request, slug, Can.CURATE)
        token = request.auth
        if isinstance(token, ApiToken) and not {Scope.CURATE, self.NEEDS.get(kind)} & set(token.scopes):
            raise NotAllowed(f"This token's scopes do not allow {kind!r}.", code="scope_too_small")
        run = verbs.start(kind, project, given.validated_data.get("params") or {}, by=request.user)
        return Response({"run": run.pk}, status=202, headers={"Location": f"/api/v1/runs/{run.pk}/"})


class JudgesView(Scoped, generics.ListAPIView[Judge]):
    """The project's judges. A name that is taken gets a new version."""

    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE,)
    serializer_class = shapes.JudgeOut
    queryset = Judge.objects.none()

    def get_queryset(self) -> QuerySet[Judge]:
        project = project_for(self.request, self.kwargs["slug"], Can.READ)
        return Judge.objects.filter(project=project).select_related("rater")

    @extend_schema(operation_id="judge_create", request=shapes.JudgeIn, responses={201: shapes.JudgeOut})
    @idempotent
    def post(self, request: Request, slug: str) -> Response:
        project = project_for(request, slug, Can.CURATE)
        given = shapes.JudgeIn(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = dict(given.validated_data)
        rubric = Rubric.objects.filter(project=project, pk=wanted.pop("rubric", None)).first()
        judge = raters.create_judge(project, by=request.user, rubric=rubric, **wanted)
        return Response(shapes.JudgeOut(judge).data, status=201)


class RubricsView(Scoped, generics.ListAPIView[Rubric]):
    """The project's rubrics with their criteria and evidence."""

    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE,)
    serializer_class = shapes.RubricOut
    queryset = Rubric.objects.none()

    def get_queryset(self) -> QuerySet[Rubric]:
        project = project_for(self.request, self.kwargs["slug"], Can.READ)
        return Rubric.objects.filter(project=project).select_related("approved_by").prefetch_related("criteria")


class ApproveView(Scoped, APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE,)

    @extend_schema(operation_id="rubric_approve", request=None, responses=shapes.RubricOut)
    @idempotent
    def post(self, request: Request, slug: str, pk: int) -> Response:
        """Let judges and annotators judge by it, in your name."""
        rubric = get_object_or_404(Rubric, project=project_for(request, slug, Can.CURATE), pk=pk)
        return Response(shapes.RubricOut(rubric_services.approve(rubric, by=request.user)).data)


class AgreementView(Scoped, APIView):
    """How far raters agree and lean, and rates over judges' labels that hold: what the page of agreement shows."""

    scopes: ClassVar[tuple[str, ...]] = (Scope.EXPORT, Scope.CURATE)

    @extend_schema(operation_id="agreement", parameters=[shapes.AgreementIn], responses=shapes.AgreementOut)
    def get(self, request: Request, slug: str) -> Response:
        project = project_for(request, slug, Can.READ)
        given = shapes.AgreementIn(data=request.query_params.dict())
        given.is_valid(raise_exception=True)
        asked = given.validated_data
        found = agreement.page(project, asked["coefficient"], asked["slice"])
        if asked["slice"] not in found.choices:
            raise Invalid(agreement.unknown_slice(asked["slice"], found.choices), field="slice")
        return Response(shapes.AgreementOut(found).data)
