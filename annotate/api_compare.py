"""REST for annotating clients: take the next comparison, answer it, pass on it, keep a draft, stay alive.

The same services as the pages. Answers are in terms of what the client shows: `choice` below 0 means that `left` is
better. The stored judgement, which comes back, is in terms of a and b.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar, Final, cast
from uuid import UUID

import numpy as np
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tiebreak.accounts.models import Scope, User
from tiebreak.accounts.roles import Can
from tiebreak.api.idempotency import idempotent
from tiebreak.api.permissions import project_for, visible_projects
from tiebreak.core.errors import Conflict, Invalid

from . import policies
from .models import Assignment, Judgement
from .services import assigning, judging

KEY: Final = "Idempotency-Key"


class MessageOut(serializers.Serializer[dict[str, str]]):
    role = serializers.CharField()
    content = serializers.CharField()


class AspectOut(serializers.Serializer[dict[str, str]]):
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]


class AskedOut(serializers.Serializer[Any]):
    """What the form asks."""

    number = serializers.IntegerField()
    levels = serializers.IntegerField()
    allow_tie = serializers.BooleanField()
    allow_both_bad = serializers.BooleanField()
    aspects = AspectOut(many=True)
    reasons = serializers.ListField(child=serializers.CharField())
    justification = serializers.CharField()
    min_justification = serializers.IntegerField()
    guidelines = serializers.CharField()


class AssignmentOut(serializers.Serializer[Assignment]):
    """A lease of one comparison. Never who wrote a completion, nor what others said."""

    id = serializers.IntegerField()
    status = serializers.CharField()
    comparison = serializers.CharField(source="comparison.external_id")
    prompt = MessageOut(many=True, source="comparison.prompt.messages")
    context = serializers.CharField(source="comparison.context", allow_null=True)  # type: ignore[assignment]
    left = serializers.SerializerMethodField()
    right = serializers.SerializerMethodField()
    order = serializers.ChoiceField(choices=policies.ORDERS, help_text="ab: completion a is `left`")
    form = AskedOut(allow_null=True)
    draft = serializers.JSONField()
    expires_at = serializers.DateTimeField(allow_null=True)

    def get_left(self, assignment: Assignment) -> str:
        return self._sides(assignment)[0]

    def get_right(self, assignment: Assignment) -> str:
        return self._sides(assignment)[1]

    def _sides(self, assignment: Assignment) -> tuple[str, str]:
        comparison = assignment.comparison
        return policies.sides(comparison.completion_a.text, comparison.completion_b.text, assignment.order)


class Strict(serializers.Serializer[dict[str, Any]]):
    """Refuses fields that it does not know, so that a misspelt one is not silently lost."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            raise serializers.ValidationError({unknown[0]: f"unknown field (known: {', '.join(self.fields)})"})
        return super().to_internal_value(data)


class AnswerIn(Strict):
    choice = serializers.IntegerField(
        required=False, allow_null=True, help_text="below 0: `left` is better; 0: a tie; its size is the strength"
    )
    both_bad = serializers.BooleanField(required=False, default=False)
    aspects = serializers.DictField(child=serializers.IntegerField(), required=False, default=dict)
    justification = serializers.CharField(required=False, default="", allow_blank=True, trim_whitespace=False)
    reasons = serializers.ListField(child=serializers.CharField(), required=False, default=list)
    active_ms = serializers.IntegerField(required=False, allow_null=True, min_value=0)

    def answer(self) -> judging.Answer:
        said = self.validated_data
        active_ms = said.get("active_ms")
        return judging.Answer(
            choice=said.get("choice"),
            both_bad=said["both_bad"],
            aspects=said["aspects"],
            justification=said["justification"],
            reasons=tuple(said["reasons"]),
            seconds=None if active_ms is None else active_ms / 1000,
        )


class SkipIn(Strict):
    reason = serializers.CharField(max_length=assigning.MAX_REASON_CHARS)


class JudgementOut(serializers.ModelSerializer[Judgement]):
    """What was stored, in terms of a and b."""

    comparison = serializers.CharField(source="comparison.external_id")

    class Meta:
        model = Judgement
        fields = (
            "id", "comparison", "assignment", "revision", "preference", "both_bad", "aspects", "justification",
            "reasons", "seconds", "order", "submitted_at",
        )  # fmt: skip
        read_only_fields = fields


class LeaseOut(serializers.Serializer[Assignment]):
    id = serializers.IntegerField()
    status = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)


class Annotating(APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.ANNOTATE,)

    def assignment(self, request: Request, pk: int) -> Assignment:
        """One of the caller's own, in a project that this token and its user may see; else 404."""
        held = Assignment.objects.held_by(request.user).filter(rater__project__in=visible_projects(request))
        return get_object_or_404(
            held.select_related(
                "form", "rater__project", "comparison__prompt", "comparison__completion_a", "comparison__completion_b"
            ),
            pk=pk,
        )


class NextView(Annotating):
    @extend_schema(
        operation_id="comparison_next",
        request=None,
        responses={200: AssignmentOut, 204: OpenApiResponse(description="no work for you now")},
    )
    def post(self, request: Request, slug: str) -> Response:
        """The comparison that you have before you, or a lease of the next."""
        rater = assigning.rater_for(project_for(request, slug, Can.ANNOTATE), _user(request))
        assignment = assigning.next_assignment(rater, now=timezone.now(), rng=np.random.default_rng())
        if assignment is None:
            return Response(status=HTTPStatus.NO_CONTENT)
        return Response(AssignmentOut(assignment).data)


class AssignmentView(Annotating):
    @extend_schema(operation_id="assignment_get", responses=AssignmentOut)
    def get(self, request: Request, pk: int) -> Response:
        return Response(AssignmentOut(self.assignment(request, pk)).data)


class SubmitView(Annotating):
    @extend_schema(
        operation_id="assignment_submit",
        request=AnswerIn,
        responses={201: JudgementOut},
        parameters=[OpenApiParameter(KEY, UUID, OpenApiParameter.HEADER, required=True)],
    )
    def post(self, request: Request, pk: int) -> Response:
        """Answer. The same key and body again gets the same judgement."""
        try:
            return self.submit(request, pk)
        except Conflict as error:
            if error.code == "lease_lost":  # `idempotent` has rolled back all that was written
                judging.keep(self.assignment(request, pk), _valid(AnswerIn(data=request.data)).answer())
            raise

    @idempotent
    def submit(self, request: Request, pk: int) -> Response:
        assignment, key = self.assignment(request, pk), _key(request)
        form = _valid(AnswerIn(data=request.data))
        judgement = judging.submit(assignment, form.answer(), by=_user(request), key=key, now=timezone.now())
        return Response(JudgementOut(judgement).data, status=HTTPStatus.CREATED)


class SkipView(Annotating):
    @extend_schema(operation_id="assignment_skip", request=SkipIn, responses={200: LeaseOut})
    def post(self, request: Request, pk: int) -> Response:
        """Pass, with a reason; it is not offered to you again."""
        reason = _valid(SkipIn(data=request.data)).validated_data["reason"]
        skipped = assigning.skip(self.assignment(request, pk), reason, by=_user(request), now=timezone.now())
        return Response(LeaseOut(skipped).data)


class DraftView(Annotating):
    @extend_schema(operation_id="assignment_draft", request=AnswerIn, responses={200: LeaseOut})
    def post(self, request: Request, pk: int) -> Response:
        """Keep what was answered so far; renews the lease."""
        draft = _valid(AnswerIn(data=request.data)).answer().as_draft()
        kept = assigning.save_draft(self.assignment(request, pk), draft, by=_user(request), now=timezone.now())
        return Response(LeaseOut(kept).data)


class RenewView(Annotating):
    @extend_schema(operation_id="assignment_renew", request=None, responses={200: LeaseOut})
    def post(self, request: Request, pk: int) -> Response:
        """Push the end of the lease away while the annotator is active."""
        renewed = assigning.renew(self.assignment(request, pk), by=_user(request), now=timezone.now())
        return Response(LeaseOut(renewed).data)


def _user(request: Request) -> User:
    return cast(User, request.user)  # HasScope has refused whoever is not signed in


def _key(request: Request) -> UUID:
    try:
        return UUID(request.headers.get(KEY, ""))
    except ValueError:
        raise Invalid(f"{KEY}: a UUID is needed, so that a repeated submit stays one judgement.", field=KEY) from None


def _valid(serializer: Any) -> Any:
    serializer.is_valid(raise_exception=True)
    return serializer


urlpatterns = [
    path("projects/<slug:slug>/next/", NextView.as_view()),
    path("assignments/<int:pk>/", AssignmentView.as_view()),
    path("assignments/<int:pk>/submit/", SubmitView.as_view()),
    path("assignments/<int:pk>/skip/", SkipView.as_view()),
    path("assignments/<int:pk>/draft/", DraftView.as_view()),
    path("assignments/<int:pk>/renew/", RenewView.as_view()),
]
