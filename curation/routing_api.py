"""REST of routing: policies by version, what was decided, a word of one's own, and the budget."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tiebreak.accounts.models import Scope
from tiebreak.accounts.roles import Can
from tiebreak.api.idempotency import idempotent
from tiebreak.api.permissions import Scoped

from .models import RoutingDecision, RoutingPolicy
from .serializers import ObjectField, Strict
from .services import budgeting, overriding, policies
from .services.reading import routing as reading


class RoutingPolicyOut(serializers.ModelSerializer[RoutingPolicy]):
    class Meta:
        model = RoutingPolicy
        fields = (
            "id", "name", "version", "kind", "params", "status", "share", "learned", "simulation", "created_at",
        )  # fmt: skip


class RoutingPolicyIn(Strict):
    name = serializers.CharField(max_length=64)
    kind = serializers.CharField(max_length=64, help_text="uncertainty, expected-gain, adaptive-overlap or random")
    params = ObjectField(required=False, help_text="what is left out has its default")


class ActivateIn(Strict):
    share = serializers.FloatField(default=1.0, help_text="of the comparisons, drawn by their ids")
    unsimulated = serializers.BooleanField(default=False, help_text="though nobody has seen what it would do")


class RoutingDecisionOut(serializers.ModelSerializer[RoutingDecision]):
    comparison = serializers.CharField(source="comparison.external_id")
    overridden_by = serializers.CharField(source="overridden_by.username", allow_null=True, default=None)

    class Meta:
        model = RoutingDecision
        fields = (
            "id", "comparison", "policy", "policy_version", "route", "reason", "gain", "audit", "explored",
            "probability", "buys", "n", "price", "features", "overridden_by", "run", "created_at",
        )  # fmt: skip


class OverrideIn(Strict):
    comparison = serializers.CharField(max_length=200, help_text="its external id")
    to = serializers.CharField(max_length=8, help_text="people, judge or settled")
    because = serializers.CharField(max_length=300)


class GrantIn(Strict):
    money = serializers.DecimalField(
        max_digits=14, decimal_places=4, default=Decimal(0), validators=budgeting.bounds("money")
    )
    hours = serializers.FloatField(default=0.0, validators=budgeting.bounds("hours"))
    note = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)


class BudgetOut(serializers.Serializer[budgeting.Ledger]):
    """Null: there is no limit."""

    currency = serializers.CharField()
    hourly_rate = serializers.DecimalField(max_digits=10, decimal_places=4)
    seconds = serializers.FloatField(help_text="that a judgement of a person takes")
    seconds_from = serializers.CharField(help_text="set, measured or assumed")
    money = serializers.DecimalField(max_digits=18, decimal_places=4, allow_null=True)
    hours = serializers.FloatField(allow_null=True)
    judges_spent = serializers.DecimalField(max_digits=18, decimal_places=8)
    people_spent = serializers.DecimalField(max_digits=20, decimal_places=4)
    hours_spent = serializers.FloatField()
    promised = serializers.IntegerField(help_text="judgements of people for which seats are open or held")
    promised_money = serializers.DecimalField(max_digits=20, decimal_places=4)
    promised_hours = serializers.FloatField()
    money_left = serializers.DecimalField(max_digits=20, decimal_places=4, allow_null=True)
    hours_left = serializers.FloatField(allow_null=True)
    judgements = serializers.IntegerField(allow_null=True, help_text="that a router may spread anew")


class JudgeStandingOut(serializers.Serializer[reading.JudgeStanding]):
    judge = serializers.CharField(source="rater.name")
    admission = serializers.CharField(source="standing.admission", help_text="admitted, refused or too little gold")
    by = serializers.CharField(source="standing.by", help_text="gold or audit; empty where neither has enough")
    reason = serializers.CharField(source="standing.reason")
    gold = serializers.SerializerMethodField()
    recent = serializers.SerializerMethodField()
    audit = serializers.SerializerMethodField()

    def get_gold(self, line: reading.JudgeStanding) -> dict[str, Any]:
        return line.standing.gold._asdict()

    def get_recent(self, line: reading.JudgeStanding) -> dict[str, Any]:
        return line.standing.recent._asdict()

    def get_audit(self, line: reading.JudgeStanding) -> dict[str, Any]:
        return line.standing.audit._asdict()


class RoutingView(Scoped):
    """What every view here shares."""

    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE,)

    def policy(self, request: Request, slug: str, pk: int) -> RoutingPolicy:
        """Of the project, for a curator."""
        project = self.project(request, slug, Can.CURATE)
        return get_object_or_404(RoutingPolicy.objects.select_related("project"), project=project, pk=pk)


class PoliciesView(RoutingView, generics.ListAPIView[RoutingPolicy]):
    """The project's policies. A name that is taken gets a new version; no version ever changes."""

    serializer_class = RoutingPolicyOut
    queryset = RoutingPolicy.objects.none()

    def get_queryset(self) -> QuerySet[RoutingPolicy]:
        return RoutingPolicy.objects.filter(project=self.project(self.request, self.kwargs["slug"], Can.READ))

    @extend_schema(operation_id="routing_policy_create", request=RoutingPolicyIn, responses={201: RoutingPolicyOut})
    @idempotent
    def post(self, request: Request, slug: str) -> Response:
        given = RoutingPolicyIn(data=request.data)
        project = self.project(request, slug, Can.CURATE)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        policy = policies.create(project, said["name"], said["kind"], said.get("params") or {}, by=request.user)
        return Response(RoutingPolicyOut(policy).data, status=201)


class ActivatePolicyView(RoutingView, APIView):
    @extend_schema(operation_id="routing_policy_activate", request=ActivateIn, responses=RoutingPolicyOut)
    @idempotent
    def post(self, request: Request, slug: str, pk: int) -> Response:
        """Let a version decide its share from now on. Without a simulation, only with `unsimulated`."""
        policy, given = self.policy(request, slug, pk), ActivateIn(data=request.data)
        given.is_valid(raise_exception=True)
        return Response(RoutingPolicyOut(policies.activate(policy, by=request.user, **given.validated_data)).data)


class RetirePolicyView(RoutingView, APIView):
    @extend_schema(operation_id="routing_policy_retire", request=None, responses=RoutingPolicyOut)
    @idempotent
    def post(self, request: Request, slug: str, pk: int) -> Response:
        """Its share falls to the default."""
        return Response(RoutingPolicyOut(policies.retire(self.policy(request, slug, pk), by=request.user)).data)


class DecisionsView(RoutingView, generics.ListAPIView[RoutingDecision]):
    """What stands decided, the newest first, each with what was known and why."""

    serializer_class = RoutingDecisionOut
    queryset = RoutingDecision.objects.none()

    def get_queryset(self) -> QuerySet[RoutingDecision]:
        return reading.decisions(self.project(self.request, self.kwargs["slug"], Can.READ))

    @extend_schema(operation_id="routing_override", request=OverrideIn, responses={201: RoutingDecisionOut})
    @idempotent
    def post(self, request: Request, slug: str) -> Response:
        """Decide for the router, in your name, until it is lifted."""
        project, given = self.project(request, slug, Can.CURATE), OverrideIn(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        comparison = get_object_or_404(project.comparisons.all(), external_id=said["comparison"])
        decision = overriding.override(project, comparison.pk, said["to"], said["because"], by=request.user)
        return Response(RoutingDecisionOut(decision).data, status=201)


class LiftView(RoutingView, APIView):
    @extend_schema(operation_id="routing_override_lift", request=None, responses={204: None})
    @idempotent
    def post(self, request: Request, slug: str, pk: int) -> Response:
        """Give the comparison back to the router."""
        row = get_object_or_404(RoutingDecision, comparison__project=self.project(request, slug, Can.CURATE), pk=pk)
        overriding.lift(row, by=request.user)
        return Response(status=204)


class BudgetView(RoutingView, APIView):
    @extend_schema(operation_id="routing_budget", responses=BudgetOut)
    def get(self, request: Request, slug: str) -> Response:
        return Response(BudgetOut(budgeting.ledger(self.project(request, slug, Can.READ))).data)

    @extend_schema(operation_id="routing_budget_grant", request=GrantIn, responses={201: BudgetOut})
    @idempotent
    def post(self, request: Request, slug: str) -> Response:
        """Grant more money or hours, or less; answers with the budget as it is then."""
        project, given = self.project(request, slug, Can.CURATE), GrantIn(data=request.data)
        given.is_valid(raise_exception=True)
        budgeting.grant(project, by=request.user, **given.validated_data)
        return Response(BudgetOut(budgeting.ledger(project)).data, status=201)


class JudgesOnTrialView(RoutingView, APIView):
    @extend_schema(operation_id="routing_judges", responses=JudgeStandingOut(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """Which judges may settle a comparison, and why."""
        project = self.project(request, slug, Can.READ)
        lines: Any = reading.standings(project)
        return Response(JudgeStandingOut(lines, many=True).data)
