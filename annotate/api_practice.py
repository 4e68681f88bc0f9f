"""REST for the way in: what a newcomer has to pass through, trial by trial, under the rules of the pages.

A client whose `next/` is refused with `practice_due` or `qualification_due` asks here until it gets 204.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tiebreak.accounts.models import Scope
from tiebreak.accounts.roles import Can
from tiebreak.api.permissions import project_for, visible_projects

from . import policies
from .api_compare import AnswerIn, AskedOut, MessageOut, _answer, _user
from .models import Rater, Trial
from .services import assigning, projects, qualifying


class TrialOut(serializers.Serializer[Trial]):
    """One comparison whose answer is known. It is not told before it is answered, and in a qualification never."""

    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Trial.Kind.choices)
    attempt = serializers.IntegerField()
    position = serializers.IntegerField()
    size = serializers.SerializerMethodField(help_text="trials of this attempt")
    prompt = MessageOut(many=True, source="comparison.prompt.messages")
    context = serializers.CharField(source="comparison.context", allow_null=True)  # type: ignore[assignment]
    left = serializers.SerializerMethodField()
    right = serializers.SerializerMethodField()
    form = AskedOut()

    def get_size(self, trial: Trial) -> int:
        going = qualifying.attempt(trial.rater, qualifying.kind_of(trial))
        return going.size if going else 0

    def get_left(self, trial: Trial) -> str:
        return self._sides(trial)[0]

    def get_right(self, trial: Trial) -> str:
        return self._sides(trial)[1]

    def _sides(self, trial: Trial) -> tuple[str, str]:
        comparison = trial.comparison
        return policies.sides(comparison.completion_a.text, comparison.completion_b.text, trial.order)


class AnsweredOut(serializers.Serializer[dict[str, Any]]):
    """What an answer came to. `right`, `expected` and `because` are told in a practice only."""

    right = serializers.BooleanField(allow_null=True)
    expected = serializers.IntegerField(allow_null=True, help_text="below 0: `left` is better")
    because = serializers.CharField(allow_blank=True)
    ended = serializers.BooleanField(help_text="it was the attempt's last one")
    due = serializers.ChoiceField(
        choices=["practice", "qualification"], allow_null=True, help_text="what is to be passed before `next/`"
    )


class TrialNextView(APIView):
    scopes = (Scope.ANNOTATE,)

    @extend_schema(
        operation_id="trial_next",
        request=None,
        responses={200: TrialOut, 204: OpenApiResponse(description="nothing is due: `next/` gives work")},
    )
    def post(self, request: Request, slug: str) -> Response:
        """The trial that you have before you; begins the practice or the qualification that is due."""
        rater = assigning.rater_for(project_for(request, slug, Can.ANNOTATE), _user(request))
        form, now = projects.current_form(rater.project), timezone.now()
        while due := qualifying.due(rater, form):
            if trial := qualifying.before(rater, due, now=now):
                return Response(TrialOut(trial).data)
            rater.refresh_from_db()  # it ended, or there was too little gold for it
        return Response(status=HTTPStatus.NO_CONTENT)


class TrialAnswerView(APIView):
    scopes = (Scope.ANNOTATE,)

    @extend_schema(operation_id="trial_answer", request=AnswerIn, responses={200: AnsweredOut})
    def post(self, request: Request, pk: int) -> Response:
        """Answer a trial, once."""
        mine = Trial.objects.filter(rater__user=_user(request), rater__project__in=visible_projects(request))
        trial = get_object_or_404(mine.select_related(*qualifying.SHOWN), pk=pk)
        trial = qualifying.answer(trial, _answer(request), by=_user(request), now=timezone.now())
        return Response(AnsweredOut(_told(trial)).data)


def _told(trial: Trial) -> dict[str, Any]:
    rater = Rater.objects.get(pk=trial.rater_id)
    going = qualifying.attempt(rater, qualifying.kind_of(trial))
    told: dict[str, Any] = {
        "right": None,
        "expected": None,
        "because": "",
        "ended": going is not None and going.ended_at is not None,
        "due": qualifying.due(rater, projects.current_form(trial.rater.project)),
    }
    if trial.kind != Trial.Kind.PRACTICE or trial.comparison.gold is None:
        return told
    gold = policies.to_screen(trial.comparison.gold, trial.order)
    return told | {"right": trial.right, "expected": gold, "because": trial.comparison.gold_because}


urlpatterns = [
    path("projects/<slug:slug>/trials/next/", TrialNextView.as_view(), name="api-trial-next"),
    path("trials/<int:pk>/answer/", TrialAnswerView.as_view(), name="api-trial-answer"),
]
