"""REST for scripts that bring data in and look at it: projects, imports, comparisons, judgements, runs.

Annotating clients are served by `api_compare`.
"""

from __future__ import annotations

import io
import json
from typing import IO, Any, ClassVar, Final

from django.conf import settings
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tiebreak.accounts.models import ApiToken, Membership, Project, Scope
from tiebreak.accounts.roles import Can
from tiebreak.api.idempotency import idempotent
from tiebreak.api.negotiation import TakeIt
from tiebreak.api.parsers import CSVParser, NDJSONParser, StrictJSONParser
from tiebreak.api.permissions import Scoped, project_for, visible_projects
from tiebreak.api.ranges import serve
from tiebreak.core.errors import Invalid, NotAllowed, NotFound, TooLarge
from tiebreak.runs import ledger, store
from tiebreak.runs.models import Run

from . import formats
from . import serializers as shapes
from .formats import reading
from .models import Comparison, Judgement
from .services import importing

READERS: Final = (Scope.CURATE, Scope.EXPORT)
STARTERS: Final = (Scope.IMPORT, Scope.CURATE, Scope.JUDGE, Scope.TRAIN)


def filters(shape: type[shapes.StrictSerializer], request: Request) -> dict[str, Any]:
    """The query's named filters, for a queryset's `filter`. Raises a ValidationError naming the parameter."""
    given = shape(data=request.query_params.dict())
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


class ProjectViewSet(Scoped, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Project]):
    """The projects that you are a member of."""

    scopes: ClassVar[tuple[str, ...]] = tuple(Scope.values)
    serializer_class = shapes.ProjectOut
    lookup_field = "slug"
    lookup_value_regex = "[a-z0-9-]+"
    queryset = Project.objects.none()

    def get_queryset(self) -> QuerySet[Project]:
        mine = Prefetch("members", Membership.objects.filter(user_id=self.request.user.pk or 0), to_attr="mine")
        found: QuerySet[Project] = visible_projects(self.request).prefetch_related(mine)
        return found


# Imports


class Body:
    """A request's body as a file that does not end before it should: half an upload must not pass for a whole."""

    def __init__(self, stream: Any, length: int) -> None:
        self.stream, self.length, self.got = stream, length, 0

    def read(self, size: int = -1) -> bytes:
        data: bytes = self.stream.read(size)
        self.got += len(data)
        if not data and self.got < self.length:
            raise Invalid(f"The body broke off after {self.got:,} of {self.length:,} bytes.", code="body_broken")
        return data


class ImportView(Scoped, APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.IMPORT, Scope.CURATE)
    parser_classes = [StrictJSONParser, NDJSONParser, CSVParser]
    content_negotiation_class = TakeIt

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """NDJSON and CSV stream to disk; what has to be held in memory is capped, before a byte of it is read."""
        super().initial(request, *args, **kwargs)
        most, held = settings.DATA_UPLOAD_MAX_MEMORY_SIZE, not _streams(request)
        if _length(request) > most and (held or "Idempotency-Key" in request.headers):
            raise TooLarge(
                f"At most {most:,} bytes of JSON, or with an Idempotency-Key. Send application/x-ndjson without a key: "
                "an import may be repeated as it is."
            )

    @extend_schema(
        operation_id="import_rows",
        parameters=[
            OpenApiParameter("format", str, enum=list(formats.FORMATS), description="default: rows"),
            OpenApiParameter("source", str, description="names the rater of preferences that come without one"),
        ],
        request=shapes.IMPORT_BODY,
        responses={202: shapes.RunOut},
    )
    @idempotent
    def post(self, request: Request, slug: str) -> Response:
        """Import rows: a JSON list, `{"rows": […]}`, application/x-ndjson or text/csv, gzipped or not. Answers with a
        run."""
        project = project_for(request, slug, Can.CURATE)
        run = importing.start_import(
            project,
            _rows_file(request),
            format=request.query_params.get("format", formats.DEFAULT),
            by=request.user,
            filename=reading.source_of(request.query_params.get("source", "")) + (".csv" if _is_csv(request) else ""),
        )
        where = reverse("api-runs-detail", args=[run.pk])
        return Response(shapes.RunOut(run).data, status=202, headers={"Location": where})


def _is_csv(request: Request) -> bool:
    return (request.content_type or "").startswith(CSVParser.media_type)


def _streams(request: Request) -> bool:
    return _is_csv(request) or "ndjson" in (request.content_type or "")


def _length(request: Request) -> int:
    text = request.META.get("CONTENT_LENGTH") or "0"
    return int(text) if text.isdecimal() else 0


def _rows_file(request: Request) -> IO[bytes]:
    """The request's rows as JSON Lines. Raises Invalid where there are none, as in a body without Content-Length."""
    data = request.data
    if hasattr(data, "read"):
        return Body(data, _length(request))  # type: ignore[return-value]
    rows = data.get("rows") if isinstance(data, dict) and set(data) == {"rows"} else data
    if not isinstance(rows, list) or not rows:
        raise Invalid(
            'rows: expected a list of rows, or {"rows": […]}, with at least one, and a Content-Length.', field="rows"
        )
    # Escaped: a lone surrogate is refused by its row, with its field, and not here.
    return io.BytesIO(b"".join(json.dumps(row).encode() + b"\n" for row in rows))


# Comparisons and judgements


class ComparisonList(Scoped, generics.ListAPIView[Comparison]):
    scopes: ClassVar[tuple[str, ...]] = READERS
    serializer_class = shapes.ComparisonOut
    queryset = Comparison.objects.none()

    def get_queryset(self) -> QuerySet[Comparison]:
        project = project_for(self.request, self.kwargs["slug"], Can.READ)
        found = Comparison.objects.filter(project=project, **filters(shapes.ComparisonFilter, self.request))
        return found.select_related("prompt", "completion_a", "completion_b")

    @extend_schema(operation_id="comparisons_list", parameters=[shapes.ComparisonFilter])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class ComparisonDetail(Scoped, APIView):
    scopes: ClassVar[tuple[str, ...]] = READERS

    @extend_schema(operation_id="comparisons_retrieve", responses=shapes.ComparisonDetailOut)
    def get(self, request: Request, slug: str, external_id: str) -> Response:
        """One comparison by your own id, with what raters say of it now."""
        project = project_for(request, slug, Can.READ)
        found = Comparison.objects.select_related("prompt", "completion_a", "completion_b")
        if "\x00" in external_id:
            raise NotFound("No id holds a NUL.", code="no_comparison")
        comparison = get_object_or_404(found, project=project, external_id=external_id)
        return Response(shapes.ComparisonDetailOut(comparison).data)


class JudgementList(Scoped, generics.ListAPIView[Judgement]):
    scopes: ClassVar[tuple[str, ...]] = READERS
    serializer_class = shapes.ListedJudgement
    queryset = Judgement.objects.none()

    def get_queryset(self) -> QuerySet[Judgement]:
        project = project_for(self.request, self.kwargs["slug"], Can.READ)
        found = Judgement.objects.filter(comparison__project=project, **filters(shapes.JudgementFilter, self.request))
        return found.select_related("rater", "comparison")

    @extend_schema(operation_id="judgements_list", parameters=[shapes.JudgementFilter])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


# Runs


def readable_runs(request: Request) -> QuerySet[Run]:
    """Runs that the user may see, narrowed to the token's one project where it is bound."""
    found: QuerySet[Run] = Run.objects.visible_to(request.user)
    token = request.auth
    if isinstance(token, ApiToken) and token.project_id:
        found = found.filter(project_id=token.project_id)
    return found


@extend_schema_view(list=extend_schema(parameters=[shapes.RunFilter]))
class RunViewSet(Scoped, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Run]):
    """Background work: how far it is, what came of it, and stopping or repeating it."""

    scopes: ClassVar[tuple[str, ...]] = STARTERS
    serializer_class = shapes.RunOut
    lookup_value_regex = r"\d+"
    queryset = Run.objects.none()

    def get_queryset(self) -> QuerySet[Run]:
        found = readable_runs(self.request)
        if self.action == "list":
            found = found.filter(**filters(shapes.RunFilter, self.request))
        return found.select_related("project", "created_by").prefetch_related("artifacts__artifact")

    @extend_schema(request=None, responses=shapes.RunOut)
    @action(detail=True, methods=["post"])
    @idempotent
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop it: at once where it waits, soon where it runs. What is finished is kept."""
        return Response(shapes.RunOut(ledger.cancel(self._mine(request), by=request.user)).data)

    @extend_schema(request=None, responses=shapes.RunOut)
    @action(detail=True, methods=["post"])
    @idempotent
    def retry(self, request: Request, pk: str) -> Response:
        """Queue a failed run again; it goes on from what is stored."""
        return Response(shapes.RunOut(ledger.retry(self._mine(request), by=request.user)).data)

    def _mine(self, request: Request) -> Run:
        """The run, if this caller may change it: a curator of its project, or whoever started it where it has none.

        A token without the scope curate changes only what its user started.
        """
        run = self.get_object()
        if run.project:
            project_for(request, run.project.slug, Can.CURATE)
        token = request.auth
        if isinstance(token, ApiToken) and Scope.CURATE not in token.scopes and run.created_by_id != request.user.pk:
            raise NotAllowed("This token may change only runs that its user started.", code="scope_too_small")
        return run


class RejectsView(Scoped, APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.IMPORT, Scope.CURATE)  # whole rows: the test split's texts among them
    content_negotiation_class = TakeIt

    @extend_schema(operation_id="runs_rejects", responses={(200, "application/x-ndjson"): OpenApiTypes.BINARY})
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        """The rows that an import did not take, one a line: line, field, message, row."""
        run = get_object_or_404(readable_runs(request), pk=pk)
        kept = run.artifacts.select_related("artifact").filter(name=importing.REJECTS).first()
        if kept is None:
            raise NotFound(f"Run {run.pk} has no rejects file.", code="no_rejects")
        artifact = kept.artifact
        return serve(
            request._request,
            store.open_artifact(artifact),
            size=artifact.size,
            sha256=artifact.sha256,
            name=f"rejects-{run.pk}.jsonl",
            media_type=artifact.media_type,
        )
