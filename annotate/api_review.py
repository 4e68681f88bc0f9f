"""REST for adjudicators and curators: what is disputed, deciding it, and flags.

The same services as the pages, and as blind: where the project's form hides names, raters are numbers here too.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.db.models import Prefetch, QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tiebreak.accounts.models import Scope
from tiebreak.accounts.roles import Can
from tiebreak.api.idempotency import idempotent
from tiebreak.api.permissions import Scoped, project_for

from .models import Adjudication, Comparison, Flag, Form, Judgement, Rater
from .serializers import StrictSerializer, TurnsField
from .services import disputes, flagging, reviewing

CURATING: Final = (Scope.CURATE,)


class SaidOut(serializers.ModelSerializer[Judgement]):
    """A judgement as an adjudicator sees it."""

    rater = serializers.SerializerMethodField(help_text="a name; “rater 1” where the form hides it")
    kind = serializers.ChoiceField(choices=Rater.Kind.choices, source="rater.kind")
    order = serializers.CharField(allow_null=True, help_text="ab or ba; null: not known")

    class Meta:
        model = Judgement
        fields = [
            "id", "rater", "kind", "preference", "both_bad", "unparsed_because", "aspects", "ratings", "confidence",
            "reasons", "justification", "evidence", "order", "seconds", "submitted_at",
        ]  # fmt: skip

    def get_rater(self, judgement: Judgement) -> str:
        number = self.context["numbers"].get(judgement.rater_id)
        return f"rater {number}" if number and self.context["blind"] else judgement.rater.name


class DisputedOut(serializers.ModelSerializer[Comparison]):
    """Neither who wrote a completion nor, for those who may not read comparisons, the id that might tell it."""

    comparison = serializers.IntegerField(source="pk", help_text="decide it by this number")
    id = serializers.SerializerMethodField(help_text="your own id; null where your role does not read comparisons")
    prompt = TurnsField()
    completion_a = TurnsField()
    completion_b = TurnsField()
    judgements = serializers.SerializerMethodField()

    class Meta:
        model = Comparison
        fields = [
            "comparison", "id", "prompt", "completion_a", "completion_b", "context", "reference", "priority",
            "judgements",
        ]  # fmt: skip

    @extend_schema_field(OpenApiTypes.STR)
    def get_id(self, comparison: Comparison) -> str | None:
        return comparison.external_id if self.context["reads"] else None

    @extend_schema_field(SaidOut(many=True))
    def get_judgements(self, comparison: Comparison) -> Any:
        """What raters say now."""
        rows = list(comparison.judgements.all())
        context = {**self.context, "numbers": disputes.numbers(rows)}
        return SaidOut([row for row in rows if row.current], many=True, context=context).data


class DecisionIn(StrictSerializer):
    comparison = serializers.IntegerField()
    preference = serializers.IntegerField(allow_null=True, default=None, help_text="below 0 favours a, above 0 b")
    both_bad = serializers.BooleanField(default=False)
    reason = serializers.CharField(max_length=reviewing.MAX_REASON_CHARS)
    replaces = serializers.IntegerField(
        allow_null=True, default=None, help_text="the id of the decision that stands now; null: none did"
    )


class DecisionOut(serializers.ModelSerializer[Adjudication]):
    comparison = serializers.IntegerField(source="comparison_id")
    by = serializers.CharField(source="adjudicator", help_text="a username; where it was imported, the name that came")

    class Meta:
        model = Adjudication
        fields = ["id", "comparison", "preference", "both_bad", "reason", "by", "current", "created_at"]


class FlagFilter(StrictSerializer):
    open = serializers.BooleanField(default=True, help_text="false: those that were resolved")


class FlagOut(serializers.ModelSerializer[Flag]):
    comparison = serializers.CharField(source="comparison.external_id")
    rater = serializers.CharField(source="rater.name")
    resolved_by = serializers.CharField(source="resolved_by.username", allow_null=True, default=None)

    class Meta:
        model = Flag
        fields = [
            "id", "comparison", "rater", "kind", "note", "created_at", "resolved_at", "resolved_by", "resolution",
        ]  # fmt: skip


class ResolutionIn(StrictSerializer):
    resolution = serializers.CharField(max_length=flagging.MAX_RESOLUTION_CHARS)


class DisputedList(Scoped, generics.ListAPIView[Comparison]):
    """Disputed comparisons that you may decide, with all that was said; what you judged yourself is not among them."""

    scopes: ClassVar[tuple[str, ...]] = CURATING
    serializer_class = DisputedOut
    queryset = Comparison.objects.none()

    def get_queryset(self) -> QuerySet[Comparison]:
        project = project_for(self.request, self.kwargs["slug"], Can.ADJUDICATE)
        said = Judgement.objects.select_related("rater").order_by("id")
        found = disputes.disputed(project, self.request.user)  # type: ignore[arg-type]
        return found.select_related("prompt", "completion_a", "completion_b").prefetch_related(
            Prefetch("judgements", said)
        )

    def get_serializer_context(self) -> dict[str, Any]:
        context = dict(super().get_serializer_context())
        if "slug" not in self.kwargs:  # the schema is being drawn
            return context
        project = project_for(self.request, self.kwargs["slug"], Can.ADJUDICATE)
        shown = Form.objects.filter(project=project, current=True, blind_adjudication=False).exists()
        return {**context, "blind": not shown, "reads": project.allows(self.request.user, Can.READ)}

    @extend_schema(operation_id="disputed_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class DecisionList(Scoped, generics.ListAPIView[Adjudication]):
    scopes: ClassVar[tuple[str, ...]] = CURATING
    serializer_class = DecisionOut
    queryset = Adjudication.objects.none()

    def get_queryset(self) -> QuerySet[Adjudication]:
        project = project_for(self.request, self.kwargs["slug"], Can.READ)
        return Adjudication.objects.filter(comparison__project=project).select_related("by", "rater")

    @extend_schema(operation_id="adjudications_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Decisions, those that were replaced or undone too."""
        return super().get(request, *args, **kwargs)

    @extend_schema(operation_id="adjudicate", request=DecisionIn, responses={201: DecisionOut})
    @idempotent
    def post(self, request: Request, slug: str) -> Response:
        """Decide a comparison: it is settled, and this is its consensus."""
        project = project_for(request, slug, Can.ADJUDICATE)
        body = DecisionIn(data=request.data)
        body.is_valid(raise_exception=True)
        said = body.validated_data
        found = Comparison.objects.select_related("project")
        made = reviewing.adjudicate(
            get_object_or_404(found, project=project, pk=said["comparison"]),
            said["preference"],
            said["both_bad"],
            said["reason"],
            by=request.user,  # type: ignore[arg-type]
            replacing=said["replaces"],
        )
        return Response(DecisionOut(made).data, status=201)


class UndoView(Scoped, APIView):
    scopes: ClassVar[tuple[str, ...]] = CURATING

    @extend_schema(operation_id="adjudication_undo", request=None, responses=DecisionOut)
    @idempotent
    def post(self, request: Request, slug: str, pk: int) -> Response:
        """Undo a decision that stands: its comparison waits again."""
        project = project_for(request, slug, Can.ADJUDICATE)
        rows = Adjudication.objects.select_related("comparison__project", "by", "rater")
        decision = get_object_or_404(rows, pk=pk, comparison__project=project)
        reviewing.reopen(decision.comparison, by=request.user, decided=decision)  # type: ignore[arg-type]
        decision.refresh_from_db()
        return Response(DecisionOut(decision).data)


class FlagList(Scoped, generics.ListAPIView[Flag]):
    scopes: ClassVar[tuple[str, ...]] = CURATING
    serializer_class = FlagOut
    queryset = Flag.objects.none()

    def get_queryset(self) -> QuerySet[Flag]:
        project = project_for(self.request, self.kwargs["slug"], Can.READ)
        given = FlagFilter(data=self.request.query_params)
        given.is_valid(raise_exception=True)
        rows = Flag.objects.filter(comparison__project=project, resolved_at__isnull=given.validated_data["open"])
        return rows.select_related("comparison", "rater", "resolved_by")

    @extend_schema(operation_id="flags_list", parameters=[FlagFilter])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class ResolveView(Scoped, APIView):
    scopes: ClassVar[tuple[str, ...]] = CURATING

    @extend_schema(operation_id="flag_resolve", request=ResolutionIn, responses=FlagOut)
    @idempotent
    def post(self, request: Request, slug: str, pk: int) -> Response:
        """Close a flag with what was done about it."""
        project = project_for(request, slug, Can.CURATE)
        body = ResolutionIn(data=request.data)
        body.is_valid(raise_exception=True)
        rows = Flag.objects.select_related("comparison__project", "rater")
        flag = get_object_or_404(rows, pk=pk, comparison__project=project)
        said = body.validated_data["resolution"]
        return Response(FlagOut(flagging.resolve(flag, said, by=request.user)).data)  # type: ignore[arg-type]


urlpatterns = [
    path("disputed/", DisputedList.as_view(), name="api-disputed"),
    path("adjudications/", DecisionList.as_view(), name="api-adjudications"),
    path("adjudications/<int:pk>/undo/", UndoView.as_view(), name="api-adjudication-undo"),
    path("flags/", FlagList.as_view(), name="api-flags"),
    path("flags/<int:pk>/resolve/", ResolveView.as_view(), name="api-flag-resolve"),
]
