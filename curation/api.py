"""REST for training jobs and curators: datasets, their versions, rows and files, reward models, and the verbs."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from django.core.cache import cache
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.models import Judge, Rubric
from annotate.services import raters
from annotate.services import rubrics as rubric_services
from tiebreak.accounts.models import ApiToken, Project, Scope
from tiebreak.accounts.roles import Can
from tiebreak.api.idempotency import idempotent
from tiebreak.api.negotiation import TakeIt
from tiebreak.api.permissions import Scoped, project_for, visible_projects
from tiebreak.api.ranges import serve
from tiebreak.core.errors import Invalid, NotAllowed, NotFound
from tiebreak.core.models import record
from tiebreak.runs import store

from . import serializers as shapes
from .models import Dataset, DatasetVersion, RewardModel
from .services import building, exporting, rewards, verbs
from .services.reading import agreement, differences

READERS = (Scope.EXPORT, Scope.TRAIN, Scope.CURATE)


def readable_projects(request: Request) -> Any:
    """Projects whose data this caller may read: by role, and by the token's own project."""
    return Project.objects.where(request.user, Can.READ) & visible_projects(request)


def refuse_test_split(request: Request, split: str | None) -> None:
    """A training token never reads the protected test split."""
    token = request.auth
    trains = isinstance(token, ApiToken) and not {Scope.EXPORT, Scope.CURATE} & set(token.scopes)
    if trains and split in (None, "test"):
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
        return found.select_related("project").prefetch_related("versions")


class VersionView(Scoped, APIView):
    """What every view of one version shares: finding it among what the caller may read."""

    scopes: ClassVar[tuple[str, ...]] = READERS
    content_negotiation_class = TakeIt

    def version(self, request: Request, name: str, number: str, *, must_be_ready: bool = True) -> DatasetVersion:
        versions = DatasetVersion.objects.filter(
            dataset__name=name, dataset__project__in=readable_projects(request)
        ).select_related("dataset__project")
        if number != "latest":
            found = versions.filter(number=int(number)).first()
        else:
            found = versions.filter(status=DatasetVersion.Status.READY).order_by("-number").first()
        if found is None:
            raise NotFound(f"There is no version {number} of a dataset {name!r} that you may read.", code="no_version")
        return verbs.ready(found) if must_be_ready else found


class ManifestView(VersionView):
    @extend_schema(operation_id="version_manifest", responses=shapes.ManifestOut)
    def get(self, request: Request, name: str, number: str) -> Response:
        version = self.version(request, name, number, must_be_ready=False)
        response = Response(shapes.ManifestOut(version, context={"request": request}).data)
        if version.rows_sha256:
            response.headers["ETag"] = f'"{version.rows_sha256}"'
        return response


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


class RowsView(VersionView):
    @extend_schema(
        operation_id="version_rows",
        parameters=[
            OpenApiParameter("format", str, enum=list(exporting.NAMES), default="native"),
            OpenApiParameter("split", str, description="train, validation or test; empty: all"),
            OpenApiParameter("cursor", int, description="lines that you have already: the stream goes on after them"),
        ],
        responses={(200, "application/x-ndjson"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, name: str, number: str) -> HttpResponseBase:
        version = self.version(request, name, number)
        split = request.query_params.get("split") or None
        refuse_test_split(request, split)
        cursor = request.query_params.get("cursor", "0")
        if not re.fullmatch("[0-9]{1,9}", cursor):
            raise Invalid(f"cursor: expected a number of lines, got {cursor[:60]!r}.", field="cursor")
        kind = request.query_params.get("format", "native")
        asked = exporting.asked_for(version, format=kind, split=split)
        lines = exporting.stream(asked, format=kind, skip=int(cursor))
        record("dataset.read", version, by=request.user, project=version.dataset.project_id, split=split, format=kind)
        response = StreamingHttpResponse(lines, content_type="application/x-ndjson")
        response.headers["ETag"] = f'"{version.rows_sha256}-{kind}-{split or "all"}"'
        response.headers["X-Tiebreak-Rows"] = str(exporting.count(asked, format=kind))
        response.headers["X-Accel-Buffering"] = "no"
        return response


class DifferenceView(VersionView):
    """What came, went or changed since an earlier version; `next` is the `after` of the next page.

    Not for training tokens: it tells of the protected test split.
    """

    scopes: ClassVar[tuple[str, ...]] = (Scope.EXPORT, Scope.CURATE)

    @extend_schema(
        operation_id="version_difference",
        parameters=[
            OpenApiParameter("since", int, required=True, description="the number of the other version"),
            OpenApiParameter("kind", str, enum=list(differences.KINDS), description="default: the first that has rows"),
            OpenApiParameter("after", int, description="`next` of the page before"),
        ],
        responses=shapes.DifferenceOut,
    )
    def get(self, request: Request, name: str, number: str) -> Response:
        later = self.version(request, name, number)
        asked = {key: request.query_params.get(key, "") for key in ("since", "after")}
        for key, value in asked.items():
            if not re.fullmatch("[0-9]{1,18}" if key == "since" else "[0-9]{0,18}", value):
                raise Invalid(f"{key}: expected a number, got {value[:60]!r}.", field=key)
        kind = request.query_params.get("kind", "")
        if kind and kind not in differences.KINDS:
            raise Invalid(f"kind: expected one of {', '.join(differences.KINDS)}, got {kind[:60]!r}.", field="kind")
        earlier = self.version(request, name, asked["since"])
        made = differences.between(earlier, later, kind=kind, after=int(asked["after"] or 0))
        return Response(shapes.DifferenceOut(made).data)


class FileView(VersionView):
    @extend_schema(operation_id="version_file", responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, name: str, number: str, filename: str) -> HttpResponseBase:
        version = self.version(request, name, number)
        file = version.files.select_related("artifact").filter(name=filename).first()
        if file is None:
            known = ", ".join(version.files.values_list("name", flat=True))
            raise NotFound(f"{version} has no file {filename!r} (it has: {known}).", code="no_file")
        refuse_test_split(request, file.split)
        if request.method == "GET" and _first_of_a_while(request, version, filename):
            record("dataset.download", version, by=request.user, project=version.dataset.project_id, file=filename)
        return serve(
            request._request,
            store.open_artifact(file.artifact),
            size=file.artifact.size,
            sha256=file.artifact_id,
            name=f"{version.dataset.name}-{version.number}-{filename}",
            media_type=file.artifact.media_type,
        )

    @extend_schema(exclude=True)
    def head(self, request: Request, name: str, number: str, filename: str) -> HttpResponseBase:
        return self.get(request, name, number, filename)


def _first_of_a_while(request: Request, version: DatasetVersion, filename: str) -> bool:
    """A reader that seeks asks many times, for any bytes: one event in ten minutes says who reads a file."""
    return bool(cache.add(f"tiebreak:read:{request.user.pk}:{version.pk}:{filename}", 1, 600))


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
