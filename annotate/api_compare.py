"""REST for annotating clients: take the next comparison, answer it, pass on it, draft it, flag it, change one's mind.

The same services as the pages, and the same refusals. Answers are in terms of what the client shows: `choice` below 0
means that `left` is better. The stored judgement, which comes back, is in terms of a and b.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from typing import Any, ClassVar, Final, cast
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tiebreak.accounts.models import Scope, User
from tiebreak.accounts.roles import Can
from tiebreak.api.permissions import may_see, project_for, visible_projects
from tiebreak.core.errors import Invalid, NotFound

from . import policies
from .models import Assignment, Criterion, Flag, Form, Judgement, Rater
from .services import answering, assigning, commenting, flagging, images, judging, sessions, shown
from .services.answering import language_of
from .services.answers import MAX_SPAN_CHARS, Answer, Span, criteria_of, kind_of, timed

KEY: Final = "Idempotency-Key"
OWN_ID: Final = "your own id; null where your role does not read comparisons"


class MessageOut(serializers.Serializer[dict[str, str]]):
    role = serializers.CharField()
    content = serializers.CharField()


class AspectOut(serializers.Serializer[dict[str, str]]):
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    kind = serializers.SerializerMethodField(help_text="preference: in `aspects`; rating: in `ratings`")

    def get_kind(self, aspect: dict[str, str]) -> str:
        return kind_of(aspect)


class AskedCriterionOut(serializers.ModelSerializer[Criterion]):
    class Meta:
        model = Criterion
        fields = ("id", "kind", "text")
        read_only_fields = fields


class AskedOut(serializers.Serializer[Any]):
    """What the form asks."""

    number = serializers.IntegerField()
    levels = serializers.IntegerField()
    allow_tie = serializers.BooleanField()
    allow_both_bad = serializers.BooleanField()
    aspects = AspectOut(many=True)
    rating_max = serializers.IntegerField(help_text="ratings go from 1 to this")
    confidence = serializers.BooleanField(help_text="how sure they are is asked, 1 to 3")
    evidence = serializers.BooleanField(help_text="spans of the responses may be highlighted")
    checklist = serializers.BooleanField(help_text="the criteria are ticked, in `checks`")
    criteria = serializers.SerializerMethodField(help_text="of the approved rubric")
    reasons = serializers.ListField(child=serializers.CharField())
    justification = serializers.CharField()
    min_justification = serializers.IntegerField()
    guidelines = serializers.CharField()
    guidelines_version = serializers.IntegerField()
    revise_minutes = serializers.IntegerField(help_text="how long an answer may be changed")

    @extend_schema_field(AskedCriterionOut(many=True))
    def get_criteria(self, form: Form) -> Any:
        return AskedCriterionOut(criteria_of(form), many=True).data


def own_id(row: Assignment | Judgement) -> str | None:
    """The comparison's own id for who may read it: it may be made of the names of those who wrote its completions."""
    rater = row.rater
    return row.comparison.external_id if rater.project.allows(rater.user, Can.READ) else None


class AssignmentOut(serializers.Serializer[Assignment]):
    """A lease of one comparison. Never who wrote a completion, nor what others said."""

    id = serializers.IntegerField()
    status = serializers.CharField()
    comparison = serializers.SerializerMethodField(help_text=OWN_ID)
    prompt = MessageOut(many=True, source="comparison.prompt.messages")
    context = serializers.CharField(source="comparison.context", allow_null=True)  # type: ignore[assignment]
    left = serializers.SerializerMethodField()
    right = serializers.SerializerMethodField()
    order = serializers.ChoiceField(choices=policies.ORDERS, help_text="ab: completion a is `left`")
    reference = serializers.SerializerMethodField(help_text="a reference answer, where the form shows it")
    language = serializers.SerializerMethodField(help_text="a BCP 47 tag, or empty")
    images = serializers.SerializerMethodField(
        help_text="by the sources that the texts name: the address of our copy, null while there is none"
    )
    form = AskedOut(allow_null=True)
    draft = serializers.JSONField()
    expires_at = serializers.DateTimeField(allow_null=True)

    def get_comparison(self, assignment: Assignment) -> str | None:
        return own_id(assignment)

    def get_left(self, assignment: Assignment) -> str:
        return self._sides(assignment)[0]

    def get_right(self, assignment: Assignment) -> str:
        return self._sides(assignment)[1]

    def get_reference(self, assignment: Assignment) -> str | None:
        return assignment.comparison.reference if assignment.form and assignment.form.show_reference else None

    def get_language(self, assignment: Assignment) -> str:
        return language_of(assignment.comparison)

    @extend_schema_field(serializers.DictField(child=serializers.CharField(allow_null=True)))
    def get_images(self, assignment: Assignment) -> dict[str, str | None]:
        comparison = assignment.comparison
        said = [message["content"] for message in comparison.prompt.messages]
        texts = [*said, *self._sides(assignment), comparison.context, self.get_reference(assignment)]
        return images.addresses_for_clients(comparison.project, [text for text in texts if text])

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


def one_of(values: Iterable[str]) -> dict[str, Any]:
    """A refusal that does not say the value again: it may be text that no answer can carry."""
    return {"invalid_choice": f"expected one of {', '.join(values)}"}


class NextIn(Strict):
    ahead = serializers.BooleanField(
        required=False,
        default=False,
        help_text="the comparison after the one before you, to be shown at once when that is done",
    )


class SpanIn(Strict):
    side = serializers.ChoiceField(choices=("left", "right"), error_messages=one_of(("left", "right")))
    exact = serializers.CharField(max_length=MAX_SPAN_CHARS, trim_whitespace=False)
    start = serializers.IntegerField(min_value=0, help_text="characters of the response's text as it is shown")
    end = serializers.IntegerField(min_value=1)


class AnswerIn(Strict):
    MOST: ClassVar[int] = 200  # of anything that is a list or an object

    choice = serializers.IntegerField(
        required=False, allow_null=True, help_text="below 0: `left` is better; 0: a tie; its size is the strength"
    )
    both_bad = serializers.BooleanField(required=False, default=False)
    aspects = serializers.DictField(
        child=serializers.IntegerField(), required=False, default=dict, help_text="{key: as `choice`}"
    )
    ratings = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        required=False,
        default=dict,
        help_text="{key: {left: 1 to rating_max, right: the same}}",
    )
    confidence = serializers.DictField(
        child=serializers.IntegerField(), required=False, default=dict, help_text='{key, or "overall": 1 to 3}'
    )
    checks = serializers.DictField(
        child=serializers.CharField(max_length=60),
        required=False,
        default=dict,
        help_text="{criterion's id: left, right, both or neither}",
    )
    evidence = SpanIn(many=True, required=False, default=list)
    justification = serializers.CharField(required=False, default="", allow_blank=True, trim_whitespace=False)
    reasons = serializers.ListField(child=serializers.CharField(), required=False, default=list)
    active_ms = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=2**53,
        help_text="no more counts than passed by the server's clock",
    )
    confirm_repeat = serializers.BooleanField(
        required=False, default=False, help_text="yes, the justification of my last answers again"
    )

    def to_internal_value(self, data: Any) -> Any:
        for name, value in data.items() if isinstance(data, dict) else ():
            if isinstance(value, dict | list) and len(value) > self.MOST:
                raise serializers.ValidationError({name: f"at most {self.MOST} entries, got {len(value):,}"})
        return super().to_internal_value(data)

    def answer(self, data: Any) -> Answer:
        """Raises ValidationError by field."""
        said = self.run_validation(data)
        active_ms = said.get("active_ms")
        return Answer(
            choice=said.get("choice"),
            both_bad=said["both_bad"],
            aspects=said["aspects"],
            ratings=said["ratings"],
            confidence=said["confidence"],
            checks=said["checks"],
            evidence=tuple(Span(**span) for span in said["evidence"]),
            justification=said["justification"],
            reasons=tuple(said["reasons"]),
            seconds=None if active_ms is None else active_ms / 1000,
            confirm_repeat=said["confirm_repeat"],
        )


class FlagIn(Strict):
    kind = serializers.ChoiceField(choices=Flag.Kind.choices, error_messages=one_of(Flag.Kind.values))
    note = serializers.CharField(required=False, default="", allow_blank=True)


class CommentIn(Strict):
    text = serializers.CharField()


class MadeOut(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="pk")
    created_at = serializers.DateTimeField()


class ReturnedOut(serializers.Serializer[dict[str, Any]]):
    by = serializers.CharField()
    reason = serializers.CharField()
    at = serializers.DateTimeField()


class SessionOut(serializers.Serializer[sessions.Position]):
    """Where you are. A quota of 0 has no end."""

    judged = serializers.IntegerField()
    quota = serializers.IntegerField()
    seconds = serializers.FloatField()
    today = serializers.IntegerField()
    daily_quota = serializers.IntegerField()


class SkipIn(Strict):
    reason = serializers.CharField(max_length=assigning.MAX_REASON_CHARS)


class JudgementOut(serializers.ModelSerializer[Judgement]):
    """What was stored, in terms of a and b."""

    comparison = serializers.SerializerMethodField(help_text=OWN_ID)

    class Meta:
        model = Judgement
        fields = (
            "id", "comparison", "assignment", "revision", "preference", "both_bad", "aspects", "ratings", "confidence",
            "checks", "evidence", "justification", "reasons", "seconds", "order", "submitted_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_comparison(self, judgement: Judgement) -> str | None:
        return own_id(judgement)


class PreviousOut(serializers.Serializer[Any]):
    """One of your answers."""

    judgement = JudgementOut(source="*")
    may_revise = serializers.SerializerMethodField()
    returned = serializers.SerializerMethodField(help_text="who returned it to you, and why")

    def get_may_revise(self, judgement: Judgement) -> bool:
        return judging.may_revise(judgement, now=timezone.now())

    @extend_schema_field(ReturnedOut(allow_null=True))
    def get_returned(self, judgement: Judgement) -> Any:
        told = answering.returned(judgement)
        return ReturnedOut(told).data if told else None


class LeaseOut(serializers.Serializer[Assignment]):
    id = serializers.IntegerField()
    status = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)


# A serializer made for each request copies every field of it first; these hold nothing of a request.
ASSIGNMENT: Final = AssignmentOut()
JUDGEMENT: Final = JudgementOut()
ANSWER: Final = AnswerIn()


class Annotating(APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.ANNOTATE,)

    def assignment(self, request: Request, pk: int, *, texts: bool = False) -> Assignment:
        """One of the caller's own, in a project that this token and its user may see; else 404."""
        found = shown.load(pk, user=_user(request), texts=texts)
        if found is None or not may_see(request, found.rater.project):
            raise NotFound("There is no such assignment.", code="no_assignment")
        return found


class NextView(Annotating):
    @extend_schema(
        operation_id="comparison_next",
        request=NextIn,
        responses={200: AssignmentOut, 204: OpenApiResponse(description="no work for you now")},
    )
    def post(self, request: Request, slug: str) -> Response:
        """The comparison that you have before you, or a lease of the next; `ahead`, the one after it.

        Refused with `paused`, `practice_due`, `qualification_due` or `quota_reached` where something comes first.
        """
        ahead = bool(request.data) and _valid(NextIn(data=request.data)).validated_data["ahead"]
        take = assigning.fetch_ahead if ahead else assigning.next_assignment
        now = timezone.now()
        rater, desk = _arrived(request, slug, now)
        assignment = take(rater, now=now, desk=desk)
        if assignment is None:
            return Response(status=HTTPStatus.NO_CONTENT)
        return Response(ASSIGNMENT.to_representation(assignment))


class AssignmentView(Annotating):
    @extend_schema(operation_id="assignment_get", responses=AssignmentOut)
    def get(self, request: Request, pk: int) -> Response:
        return Response(ASSIGNMENT.to_representation(self.assignment(request, pk, texts=True)))


class SubmitView(Annotating):
    @extend_schema(
        operation_id="assignment_submit",
        request=AnswerIn,
        responses={201: JudgementOut},
        parameters=[OpenApiParameter(KEY, UUID, OpenApiParameter.HEADER, required=True)],
    )
    def post(self, request: Request, pk: int) -> Response:
        """Answer. The same key and body again gets the same judgement."""
        key, assignment, answer = _key(request), self.assignment(request, pk), _answer(request)
        now = timezone.now()
        said = timed(answer, assignment, now=now)
        judgement = judging.submit(assignment, said, by=_user(request), key=key, now=now)
        again = judgement.submitted_at != now  # the key itself is what makes it one: no stored answer is needed
        if again and not answering.same(said, judgement):
            raise Invalid(f"This {KEY} was used for another answer.", code="idempotency_mismatch")
        headers = {"Idempotent-Replayed": "true"} if again else None
        return Response(JUDGEMENT.to_representation(judgement), status=HTTPStatus.CREATED, headers=headers)


class ReviseView(APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.ANNOTATE,)

    @extend_schema(operation_id="judgement_revise", request=AnswerIn, responses={200: JudgementOut})
    def post(self, request: Request, pk: int) -> Response:
        """Change an answer of yours, in terms of the sides as you saw them. The same again changes nothing."""
        mine = answering.of_user(_user(request)).filter(rater__project__in=visible_projects(request))
        judgement = get_object_or_404(mine, pk=pk)
        answer = _answer(request)
        revised = answering.revise(judgement, answer, by=_user(request), now=timezone.now())
        return Response(JUDGEMENT.to_representation(revised))


class PreviousView(APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.ANNOTATE,)

    @extend_schema(operation_id="previous", responses=PreviousOut(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """What was returned to you, then your last answers, the newest first."""
        rater = _rater(request, slug)
        back, last = answering.previous(rater)
        for judgement in (*back, *last):
            judgement.rater = rater  # the same one, of a project that knows the caller's role
        return Response(PreviousOut([*back, *last], many=True).data)


class SessionView(APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.ANNOTATE,)

    @extend_schema(operation_id="session_get", responses=SessionOut)
    def get(self, request: Request, slug: str) -> Response:
        """How far you are in this session and today."""
        return Response(SessionOut(sessions.current(_rater(request, slug), now=timezone.now())).data)

    @extend_schema(operation_id="session_end", responses={204: OpenApiResponse(description="nothing is held any more")})
    def delete(self, request: Request, slug: str) -> Response:
        """Give back what you hold, with its draft kept, and end the session."""
        rater, now = _rater(request, slug), timezone.now()
        assigning.release_held(rater, now=now)
        sessions.end(rater, now=now)
        return Response(status=HTTPStatus.NO_CONTENT)


class FlagView(Annotating):
    @extend_schema(operation_id="assignment_flag", request=FlagIn, responses={201: MadeOut})
    def post(self, request: Request, pk: int) -> Response:
        """Say that something is wrong with the comparison; it is still to be answered or skipped."""
        said, assignment = _valid(FlagIn(data=request.data)).validated_data, self.assignment(request, pk)
        by, comparison = _user(request), assignment.comparison
        made = flagging.flag(comparison, assignment.rater, said["kind"], said["note"], by=by)
        return Response(MadeOut(made).data, status=HTTPStatus.CREATED)


class CommentView(Annotating):
    @extend_schema(operation_id="assignment_comment", request=CommentIn, responses={201: MadeOut})
    def post(self, request: Request, pk: int) -> Response:
        """Say something of the comparison to the curators."""
        text = _valid(CommentIn(data=request.data)).validated_data["text"]
        made = commenting.comment(self.assignment(request, pk).comparison, text, by=_user(request))
        return Response(MadeOut(made).data, status=HTTPStatus.CREATED)


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
        draft = _answer(request).as_draft()
        kept = assigning.save_draft(self.assignment(request, pk), draft, by=_user(request), now=timezone.now())
        return Response(LeaseOut(kept).data)


class RenewView(Annotating):
    @extend_schema(operation_id="assignment_renew", request=None, responses={200: LeaseOut})
    def post(self, request: Request, pk: int) -> Response:
        """Push the end of the lease away while the annotator is active."""
        renewed = assigning.renew(self.assignment(request, pk), by=_user(request), now=timezone.now())
        return Response(LeaseOut(renewed).data)


def _arrived(request: Request, slug: str, now: datetime) -> tuple[Rater, assigning.Desk | None]:
    """The caller's rater, with what is before them where one call has read both."""
    at = assigning.arrive(slug, _user(request), now=now)
    if at is not None and may_see(request, at[0].project):
        return at
    return _rater(request, slug), None


def _rater(request: Request, slug: str) -> Rater:
    return assigning.rater_for(project_for(request, slug, Can.ANNOTATE), _user(request))


def _user(request: Request) -> User:
    return cast(User, request.user)  # HasScope has refused whoever is not signed in


def _key(request: Request) -> UUID:
    try:
        return UUID(request.headers.get(KEY, ""))
    except ValueError:
        raise Invalid(f"{KEY}: a UUID is needed, so that a repeated submit stays one judgement.", field=KEY) from None


def _answer(request: Request) -> Answer:
    return ANSWER.answer(request.data)


def _valid(serializer: Any) -> Any:
    serializer.is_valid(raise_exception=True)
    return serializer


urlpatterns = [
    path("projects/<slug:slug>/next/", NextView.as_view()),
    path("projects/<slug:slug>/session/", SessionView.as_view()),
    path("projects/<slug:slug>/previous/", PreviousView.as_view()),
    path("judgements/<int:pk>/revise/", ReviseView.as_view()),
    path("assignments/<int:pk>/", AssignmentView.as_view()),
    path("assignments/<int:pk>/submit/", SubmitView.as_view()),
    path("assignments/<int:pk>/skip/", SkipView.as_view()),
    path("assignments/<int:pk>/draft/", DraftView.as_view()),
    path("assignments/<int:pk>/renew/", RenewView.as_view()),
    path("assignments/<int:pk>/flag/", FlagView.as_view()),
    path("assignments/<int:pk>/comment/", CommentView.as_view()),
]
