"""REST of withdrawals: what one would do, and the doing of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.models import Comparison, Rater
from tiebreak.accounts.models import Project, Scope
from tiebreak.accounts.roles import Can
from tiebreak.api.idempotency import idempotent
from tiebreak.api.permissions import Scoped, project_for
from tiebreak.core.errors import Invalid, NotFound

from .models import Withdrawal
from .serializers import Strict
from .services import withdrawing


class SubjectIn(Strict):
    rater = serializers.CharField(max_length=200, required=False, help_text="the name of a person")
    comparison = serializers.CharField(max_length=200, required=False, help_text="or the id of a comparison")


class WithdrawalIn(SubjectIn):
    reason = serializers.CharField(max_length=1000, help_text="kept for the record: it names nobody")


class WithdrawalOut(serializers.ModelSerializer[Withdrawal]):
    rater = serializers.CharField(source="rater.name", allow_null=True, default=None)
    comparison = serializers.CharField(source="comparison.external_id", allow_null=True, default=None)
    status = serializers.CharField(source="run.status", allow_null=True, default=None)
    by = serializers.CharField(source="by.username", allow_null=True, default=None)

    class Meta:
        model = Withdrawal
        fields = ("id", "kind", "rater", "comparison", "reason", "by", "at", "run", "status")


class PlanOut(serializers.Serializer[dict[str, Any]]):
    judgements = serializers.IntegerField(help_text="that count no more")
    decisions = serializers.IntegerField(help_text="of an adjudicator, that stand no more")
    comparisons = serializers.IntegerField()
    sharing_the_prompt = serializers.IntegerField(help_text="other comparisons: the prompt stays theirs")
    versions = serializers.DictField(child=serializers.DictField(child=serializers.IntegerField()))
    models_that_saw_it = serializers.ListField(child=serializers.CharField())


class WithdrawalsView(Scoped, generics.ListAPIView[Withdrawal]):
    """What was taken back in the project, the last first."""

    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE,)
    serializer_class = WithdrawalOut
    queryset = Withdrawal.objects.none()

    def get_queryset(self) -> QuerySet[Withdrawal]:
        project = project_for(self.request, self.kwargs["slug"], Can.READ)
        return Withdrawal.objects.filter(project=project).select_related("rater", "comparison", "by", "run")

    @extend_schema(operation_id="withdraw", request=WithdrawalIn, responses={202: WithdrawalOut})
    @idempotent
    def post(self, request: Request, slug: str) -> Response:
        """Withdraw all that a person said, or a comparison with its texts. What is erased does not come back."""
        project = project_for(request, slug, Can.MANAGE)
        given = WithdrawalIn(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        made = withdrawing.start(_subject(project, said), said["reason"], by=request.user)
        return Response(WithdrawalOut(made).data, status=202, headers={"Location": f"/api/v1/runs/{made.run_id}/"})


class WithdrawalPreviewView(Scoped, APIView):
    """What a withdrawal would do now. Writes nothing."""

    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE,)

    @extend_schema(
        operation_id="withdrawal_preview",
        parameters=[OpenApiParameter("rater", str), OpenApiParameter("comparison", str)],
        responses=PlanOut,
    )
    def get(self, request: Request, slug: str) -> Response:
        project = project_for(request, slug, Can.MANAGE)
        given = SubjectIn(data=request.query_params.dict())
        given.is_valid(raise_exception=True)
        plan = withdrawing.preview(_subject(project, given.validated_data))
        return Response(PlanOut(plan.told()).data)


def _subject(project: Project, said: Mapping[str, Any]) -> withdrawing.Subject:
    if ("rater" in said) == ("comparison" in said):
        raise Invalid("rater: expected a rater or a comparison, and not both.", field="rater")
    found: withdrawing.Subject | None
    if "rater" in said:
        raters = Rater.objects.select_related("project", "user")
        found = raters.filter(project=project, kind=Rater.Kind.ANNOTATOR, name=said["rater"]).first()
    else:
        comparisons = Comparison.objects.select_related("project")
        found = comparisons.filter(project=project, external_id=said["comparison"]).first()
    if found is None:
        raise NotFound("There is no such person or comparison in the project.", code="no_subject")
    return found
