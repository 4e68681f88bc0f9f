"""REST of doubtful labels: their scores, a policy tried before it is applied, treatments and their way back."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.models import Comparison
from tiebreak.accounts.models import Scope
from tiebreak.accounts.roles import Can
from tiebreak.api.idempotency import idempotent
from tiebreak.api.permissions import Scoped, project_for

from . import noise
from .models import NoiseScore, NoiseTreatment
from .serializers import ObjectField, Strict
from .services import treating
from .services.reading import noise as reading


class NoiseScoreOut(serializers.ModelSerializer[NoiseScore]):
    comparison = serializers.CharField(source="comparison.external_id")

    class Meta:
        model = NoiseScore
        fields = ("id", "comparison", "method", "score", "decision", "cause", "details", "run", "created_at")


class NoisePolicyIn(Strict):
    policy = ObjectField(help_text="{rules: [{methods, action, at_least or worst, …}], limits: {…}}")


class NoisePreviewOut(serializers.Serializer[dict[str, Any]]):
    labels = serializers.IntegerField()
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="labels by action")
    by_rule = serializers.ListField(child=serializers.DictField(child=serializers.IntegerField()))
    limited = serializers.DictField(child=serializers.IntegerField(), help_text="labels that each limit saved")
    judgements = serializers.IntegerField(help_text="of people, that it asks for")
    hours = serializers.FloatField()
    money = serializers.FloatField()
    currency = serializers.CharField()
    examples = serializers.DictField(help_text="external ids of the most doubtful labels by action")
    unscored = serializers.ListField(child=serializers.CharField(), help_text="methods that scored nothing yet")
    idle = serializers.ListField(child=serializers.IntegerField(), help_text="rules that hold for no label")
    everything = serializers.ListField(child=serializers.IntegerField(), help_text="rules that hold for every label")
    confirm = serializers.BooleanField(help_text="it loses so much that applying it takes confirm: true")


class TreatmentIn(NoisePolicyIn):
    note = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    confirm = serializers.BooleanField(required=False, default=False)


class TreatmentOut(serializers.ModelSerializer[NoiseTreatment]):
    created_by = serializers.CharField(source="created_by.username", allow_null=True, default=None)
    undone_by = serializers.CharField(source="undone_by.username", allow_null=True, default=None)

    class Meta:
        model = NoiseTreatment
        fields = ("id", "policy", "counts", "note", "run", "created_by", "created_at", "undone_at", "undone_by")


class NoiseDecisionIn(Strict):
    comparison = serializers.CharField(max_length=200, help_text="its external id")
    action = serializers.CharField(max_length=16, help_text=", ".join(treating.BY_HAND))
    because = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class NoiseView(Scoped, generics.ListAPIView[NoiseScore]):
    """The project's noise scores, the newest first."""

    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE, Scope.EXPORT)
    serializer_class = NoiseScoreOut
    queryset = NoiseScore.objects.none()

    def get_queryset(self) -> QuerySet[NoiseScore]:
        project = project_for(self.request, self.kwargs["slug"], Can.READ)
        found = NoiseScore.objects.filter(comparison__project=project).select_related("comparison")
        asked = self.request.query_params.get("method")
        return found.filter(method=asked) if asked in noise.METHODS else found

    @extend_schema(
        operation_id="noise_scores",
        parameters=[OpenApiParameter("method", str, description=f"one of {', '.join(noise.METHODS)}; empty: all")],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class NoisePreviewView(Scoped, APIView):
    """What a policy would do now. Writes nothing."""

    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE,)

    @extend_schema(operation_id="noise_preview", request=NoisePolicyIn, responses=NoisePreviewOut)
    def post(self, request: Request, slug: str) -> Response:
        project = project_for(request, slug, Can.CURATE)
        given = NoisePolicyIn(data=request.data)
        given.is_valid(raise_exception=True)
        counted, labels = treating.preview(project, treating.parse(given.validated_data["policy"]))
        ids = {action: [int(labels.id[i]) for i in places] for action, places in counted.examples.items()}
        shown = Comparison.objects.filter(pk__in=[pk for pks in ids.values() for pk in pks])
        names = dict(shown.values_list("pk", "external_id"))
        price = reading.cost(project, counted.judgements)
        told = counted._asdict() | {
            "labels": counted.n,
            "examples": {action: [names[pk] for pk in pks] for action, pks in ids.items()},
            "confirm": counted.confirm,
            "hours": price.hours,
            "money": float(price.money),
            "currency": price.currency,
        }
        return Response(NoisePreviewOut(told).data)


class TreatmentsView(Scoped, generics.ListAPIView[NoiseTreatment]):
    """Treatments of the project's labels, the last first."""

    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE,)
    serializer_class = TreatmentOut
    queryset = NoiseTreatment.objects.none()

    def get_queryset(self) -> QuerySet[NoiseTreatment]:
        project = project_for(self.request, self.kwargs["slug"], Can.READ)
        return NoiseTreatment.objects.filter(project=project).select_related("created_by", "undone_by")

    @extend_schema(operation_id="noise_treat", request=TreatmentIn, responses={202: TreatmentOut})
    @idempotent
    def post(self, request: Request, slug: str) -> Response:
        """Apply a policy: a run decides about each label; the whole can be undone."""
        project = project_for(request, slug, Can.CURATE)
        given = TreatmentIn(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        made = treating.apply(
            project, treating.parse(said["policy"]), by=request.user, note=said["note"], confirmed=said["confirm"]
        )
        return Response(TreatmentOut(made).data, status=202, headers={"Location": f"/api/v1/runs/{made.run_id}/"})


class UndoTreatmentView(Scoped, APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE,)

    @extend_schema(operation_id="noise_undo", request=None, responses=TreatmentOut)
    @idempotent
    def post(self, request: Request, slug: str, pk: int) -> Response:
        """What it decided stops standing, and what it had replaced stands again."""
        treatments = NoiseTreatment.objects.select_related("project", "created_by")
        treatment = get_object_or_404(treatments, project=project_for(request, slug, Can.CURATE), pk=pk)
        return Response(TreatmentOut(treating.undo(treatment, by=request.user)).data)


class NoiseDecisionView(Scoped, APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE,)

    @extend_schema(operation_id="noise_decide", request=NoiseDecisionIn, responses={201: TreatmentOut})
    @idempotent
    def post(self, request: Request, slug: str) -> Response:
        """Decide about one label by hand; no policy changes it."""
        project = project_for(request, slug, Can.CURATE)
        given = NoiseDecisionIn(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        comparison = get_object_or_404(
            Comparison.objects.select_related("project"), project=project, external_id=said["comparison"]
        )
        made = treating.decide_one(comparison, said["action"], by=request.user, because=said["because"])
        return Response(TreatmentOut(made).data, status=201)
