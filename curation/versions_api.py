"""REST around a version that never changes: its tags, its notes, and the lineage of its rows."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.models import Judgement, Rater
from annotate.services.pseudonyms import names_of, public_name
from tiebreak.accounts.models import ApiToken, Project, Scope
from tiebreak.accounts.roles import Can
from tiebreak.api.idempotency import idempotent
from tiebreak.api.permissions import Scoped, project_for
from tiebreak.api.throttles import streamed
from tiebreak.core.errors import Invalid, NotAllowed, NotFound
from tiebreak.core.models import record

from .api import VersionView, readable_projects
from .exports.schema import SPLITS
from .models import Dataset, DatasetVersion, VersionNote, VersionTag
from .serializers import Strict
from .services import tagging, versions
from .services.reading import differences, lineage, reach

LOOKERS: Final = (Scope.EXPORT, Scope.CURATE)
"""Never `train`: what is told here tells of the protected test split."""


class TagOut(serializers.ModelSerializer[VersionTag]):
    number = serializers.IntegerField(source="version.number", help_text="of the version that it names")
    by = serializers.CharField(source="by.username", allow_null=True, default=None)

    class Meta:
        model = VersionTag
        fields = ("name", "number", "by", "at")


class TagIn(Strict):
    version = serializers.RegexField(versions.SPEC, help_text="a number, another tag, or latest")


class NoteOut(serializers.ModelSerializer[VersionNote]):
    by = serializers.CharField(source="by.username", allow_null=True, default=None)

    class Meta:
        model = VersionNote
        fields = ("id", "text", "by", "at")


class NoteIn(Strict):
    text = serializers.CharField(max_length=tagging.MAX_NOTE_CHARS)


def may_change(request: Request, project: Project) -> None:
    """By the role in the project, and by the token's scope."""
    if not project.allows(request.user, Can.CURATE):
        raise NotAllowed("Your role in this project does not allow this (curate).", code="role_too_small")
    if isinstance(request.auth, ApiToken) and Scope.CURATE not in request.auth.scopes:
        raise NotAllowed("This takes a token with the scope curate.", code="scope_too_small")


class OfDataset(VersionView):
    """Finding a dataset among what the caller may read; a version is found whether it is ready or not."""

    def dataset(self, request: Request, name: str) -> Dataset:
        readable = readable_projects(request)
        found = Dataset.objects.select_related("project").filter(name=name, project__in=readable).first()
        if found is None:
            raise NotFound(f"There is no dataset {name!r} that you may read.", code="no_dataset")
        return found

    def any_version(self, request: Request, name: str, number: str) -> DatasetVersion:
        return self.version(request, name, number, must_be_ready=False)


class TagsView(OfDataset):
    @extend_schema(operation_id="dataset_tags", responses=TagOut(many=True))
    def get(self, request: Request, name: str) -> Response:
        """The dataset's tags, each with the version that it names now."""
        tags = self.dataset(request, name).tags.select_related("version", "by")
        return Response(TagOut(tags, many=True).data)


class TagView(OfDataset):
    @extend_schema(operation_id="dataset_tag_set", request=TagIn, responses=TagOut)
    def put(self, request: Request, name: str, tag: str) -> Response:
        """Give the tag to a version, or move it there. Asking again changes nothing; every move is audited."""
        dataset = self.dataset(request, name)
        may_change(request, dataset.project)
        given = TagIn(data=request.data)
        given.is_valid(raise_exception=True)
        version = self.any_version(request, name, given.validated_data["version"])
        return Response(TagOut(tagging.tag(version, tag, by=request.user)).data)

    @extend_schema(operation_id="dataset_tag_remove", responses={204: None})
    def delete(self, request: Request, name: str, tag: str) -> Response:
        dataset = self.dataset(request, name)
        may_change(request, dataset.project)
        tagging.untag(dataset, tag, by=request.user)
        return Response(status=204)


class NotesView(OfDataset):
    @extend_schema(operation_id="version_notes", responses=NoteOut(many=True))
    def get(self, request: Request, name: str, number: str) -> Response:
        """What was written about the version, the oldest first."""
        notes = self.any_version(request, name, number).notes.select_related("by")
        return Response(NoteOut(notes, many=True).data)

    @extend_schema(operation_id="version_note", request=NoteIn, responses={201: NoteOut})
    @idempotent
    def post(self, request: Request, name: str, number: str) -> Response:
        """Write something down about the version; it is never altered."""
        version = self.any_version(request, name, number)
        may_change(request, version.dataset.project)
        given = NoteIn(data=request.data)
        given.is_valid(raise_exception=True)
        made = tagging.note(version, given.validated_data["text"], by=request.user)
        return Response(NoteOut(made).data, status=201)


class StateOut(serializers.Serializer[differences.State]):
    split = serializers.CharField()
    verdict = serializers.CharField(help_text="chosen, tie or both_bad")
    side = serializers.CharField(help_text="a or b; empty where none is chosen")
    probability = serializers.FloatField()
    n_annotators = serializers.IntegerField()
    n_judges = serializers.IntegerField()


class ChangedRowOut(serializers.Serializer[differences.Difference]):
    id = serializers.CharField(help_text="the comparison's own id")
    kind = serializers.CharField()
    before = StateOut(allow_null=True)
    after = StateOut(allow_null=True)
    because = serializers.CharField(help_text=f"one of {', '.join(differences.CAUSES)}")
    cause = serializers.CharField(help_text="the same in words, with what is known of it")


class RecipeChangeOut(serializers.Serializer[Any]):
    name = serializers.CharField(source="field", help_text="dotted, as in split.seed")
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class DifferenceOut(serializers.Serializer[differences.Between]):
    earlier = serializers.CharField()
    later = serializers.CharField()
    recipe = RecipeChangeOut(many=True)
    counts = serializers.DictField(child=serializers.IntegerField())
    withdrawn = serializers.IntegerField(help_text="rows that were taken out of either version since")
    kind = serializers.CharField()
    rows = ChangedRowOut(many=True)
    next = serializers.IntegerField(allow_null=True)


ASKED: Final = [
    OpenApiParameter("since", str, required=True, description="the number or tag of the other version"),
    OpenApiParameter("kind", str, enum=list(differences.KINDS), description="default: the first that has rows"),
    OpenApiParameter("because", str, enum=list(differences.CAUSES), description="only rows with this cause"),
    OpenApiParameter("split", str, description="only rows that are in this split in either version"),
    OpenApiParameter("id", str, description="only the row of this comparison"),
]


class DifferenceView(VersionView):
    """What came, went or changed since an earlier version, a page at a time; `next` is the `after` of the next page.

    Not for training tokens: it tells of the protected test split.
    """

    scopes: ClassVar[tuple[str, ...]] = LOOKERS

    def pair(self, request: Request, name: str, number: str) -> tuple[DatasetVersion, DatasetVersion]:
        """The earlier one first."""
        later, since = self.version(request, name, number), request.query_params.get("since", "")
        if not re.fullmatch(versions.SPEC, since):
            raise Invalid(f"since: expected the number or tag of a version, got {since[:60]!r}.", field="since")
        return self.version(request, name, since), later

    def filters(self, request: Request) -> differences.Filters:
        known: dict[str, Any] = {"kind": differences.KINDS, "because": differences.CAUSES, "split": SPLITS}
        for field, words in known.items():
            given = request.query_params.get(field, "")
            if given and given not in words:
                raise Invalid(f"{field}: expected one of {', '.join(words)}, got {given[:60]!r}.", field=field)
        return differences.Filters.of(request.query_params)

    @extend_schema(
        operation_id="version_difference",
        parameters=[*ASKED, OpenApiParameter("after", int, description="`next` of the page before")],
        responses=DifferenceOut,
    )
    def get(self, request: Request, name: str, number: str) -> Response:
        earlier, later = self.pair(request, name, number)
        after = request.query_params.get("after", "")
        if not re.fullmatch("[0-9]{0,18}", after):
            raise Invalid(f"after: expected a number, got {after[:60]!r}.", field="after")
        made = differences.between(earlier, later, filters=self.filters(request), after=int(after or 0))
        return Response(DifferenceOut(made).data)


class DifferenceRowsView(DifferenceView):
    """The whole difference as NDJSON, streamed: every row that came, went or changed, with both states and the cause.

    Not for training tokens: it tells of the protected test split.
    """

    @extend_schema(
        operation_id="version_difference_rows",
        parameters=ASKED,
        responses={(200, "application/x-ndjson"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, name: str, number: str) -> Any:
        earlier, later = self.pair(request, name, number)
        lines = streamed(request, differences.lines(earlier, later, filters=self.filters(request)))
        told = {"by": request.user, "project": later.dataset.project_id}
        record("dataset.difference_read", later, since=earlier.number, **told)
        return StreamingHttpResponse(lines, content_type="application/x-ndjson")


class SaidThenOut(serializers.Serializer[lineage.Said]):
    judgement = serializers.IntegerField(source="judgement.pk")
    rater = serializers.SerializerMethodField(help_text="as versions of the project call them")
    kind = serializers.CharField(source="judgement.rater.kind")
    preference = serializers.IntegerField(source="judgement.preference", allow_null=True)
    both_bad = serializers.BooleanField(source="judgement.both_bad")
    order = serializers.CharField(source="judgement.order", allow_null=True)
    seconds = serializers.FloatField(source="judgement.seconds", allow_null=True)
    form = serializers.IntegerField(source="judgement.form.number", allow_null=True, default=None)
    guidelines = serializers.IntegerField(source="judgement.form.guidelines_version", allow_null=True, default=None)
    rubric = serializers.SerializerMethodField()
    judge = serializers.SerializerMethodField(help_text="NAME vVERSION of a judge of ours")
    prompt_sha256 = serializers.CharField(source="call.prompt_sha256", allow_null=True, default=None)
    prompt_version = serializers.CharField(
        source="call.prompt_version", allow_null=True, default=None, help_text="the prompt's template, like pairwise@1"
    )
    price = serializers.DecimalField(max_digits=14, decimal_places=8, allow_null=True)
    submitted_at = serializers.DateTimeField(source="judgement.submitted_at")
    revised = serializers.DateTimeField(allow_null=True)

    def get_rater(self, said: lineage.Said) -> str:
        rater = said.judgement.rater
        return public_name(rater, self.context["project"])

    def get_rubric(self, said: lineage.Said) -> str | None:
        judgement: Judgement = said.judgement
        seen = judgement.rubric or (said.call.judge.rubric if said.call else None)
        return str(seen) if seen else None

    def get_judge(self, said: lineage.Said) -> str | None:
        return str(said.call.judge) if said.call else None


class EventOut(serializers.Serializer[lineage.Event]):
    at = serializers.DateTimeField()
    what = serializers.CharField()


class CostOut(serializers.Serializer[lineage.Cost]):
    price = serializers.DecimalField(max_digits=20, decimal_places=8, help_text="of the judges' calls that are known")
    unpriced = serializers.IntegerField(help_text="judges' judgements whose call is not known")
    seconds = serializers.FloatField(help_text="of people, where it is known")
    untimed = serializers.IntegerField(help_text="people's judgements whose time is not known")
    people = serializers.DecimalField(
        max_digits=20, decimal_places=8, allow_null=True, help_text="in money; null where no hourly rate is set"
    )
    currency = serializers.CharField()


class LineageOut(serializers.Serializer[lineage.RowPage]):
    id = serializers.CharField()
    state = serializers.CharField(help_text="row, dropped, withdrawn, or unknown: built without this comparison")
    position = serializers.IntegerField(source="row.position", allow_null=True, default=None)
    sha256 = serializers.CharField(source="row.sha256", allow_null=True, default=None)
    rule = serializers.CharField(source="dropped.rule", allow_null=True, default=None)
    cause = serializers.CharField(source="dropped.cause", allow_null=True, default=None)
    recorded = serializers.BooleanField(
        help_text="ids were kept with the row; else what was said then is told by dates"
    )
    said = SaidThenOut(many=True)
    gone = serializers.IntegerField(help_text="judgements that the row rests on and that are no longer kept")
    adjudication = serializers.CharField(source="adjudication.reason", allow_null=True, default=None)
    doubt = serializers.SerializerMethodField(help_text="what was decided about its label, and because of what")
    routing = serializers.CharField(source="routing.reason", allow_null=True, default=None)
    changes = serializers.SerializerMethodField(help_text="{rule: what it altered in the row}")
    since = EventOut(many=True)
    cost = CostOut()

    def get_doubt(self, page: lineage.RowPage) -> str | None:
        return f"{page.noise.action}: {page.noise.published()}" if page.noise else None

    def get_changes(self, page: lineage.RowPage) -> dict[str, Any]:
        return dict(page.changes)


class LineageView(VersionView):
    """Why a row is in the version, who said so, what it cost and what happened since; or why it is not in.

    Not for training tokens: it tells of the protected test split.
    """

    scopes: ClassVar[tuple[str, ...]] = LOOKERS

    @extend_schema(
        operation_id="version_lineage",
        parameters=[OpenApiParameter("id", str, required=True, description="the comparison's own id")],
        responses=LineageOut,
    )
    def get(self, request: Request, name: str, number: str) -> Response:
        version = self.version(request, name, number)
        sought = request.query_params.get("id", "").replace("\x00", "")
        found = lineage.find(version, sought, public=True)
        if found is None:
            raise NotFound(f"{version} knows no comparison {sought[:200]!r}.", code="no_row")
        return Response(LineageOut(found, context={"project": version.dataset.project}).data)


class ReachedOut(serializers.Serializer[reach.Reached]):
    version = serializers.CharField(help_text="NAME@NUMBER")
    rows = serializers.IntegerField()
    judgements = serializers.IntegerField()
    decisions = serializers.IntegerField(help_text="rows that they decided, as an adjudicator")
    of = serializers.IntegerField(help_text="rows of the version")
    share = serializers.FloatField()
    counted = serializers.BooleanField(help_text="while it was built; else told by dates")
    models = serializers.SerializerMethodField(help_text="names of the reward models trained on it")

    def get_models(self, reached: reach.Reached) -> list[str]:
        return [model.name for model in reached.models]


class OriginsView(Scoped, APIView):
    """Every version, with the models trained on it, that one rater's judgements and decisions went into, or what was
    said under a form, guidelines or a rubric.
    """

    scopes: ClassVar[tuple[str, ...]] = LOOKERS
    BY: ClassVar[dict[str, str]] = {"form": "form__number", "guidelines": "form__guidelines_version"}

    @extend_schema(
        operation_id="origins",
        parameters=[
            OpenApiParameter("rater", str, description="as versions call them, or the name; of a judge NAME vVERSION"),
            OpenApiParameter("form", int, description="its number"),
            OpenApiParameter("guidelines", int, description="their version"),
            OpenApiParameter("rubric", int, description="its id"),
        ],
        responses=ReachedOut(many=True),
    )
    def get(self, request: Request, slug: str) -> Response:
        project = project_for(request, slug, Can.READ)
        given = {key: request.query_params[key] for key in (*self.BY, "rubric", "rater") if key in request.query_params}
        if len(given) != 1:
            raise Invalid("rater: ask for one of rater, form, guidelines or rubric.", field="rater")
        ((key, value),) = given.items()
        if key == "rater":
            raters = Rater.objects.filter(project=project).select_related("user")
            called = [rater for rater in raters if value in names_of(rater, project)]
            reached = [each for rater in called for each in reach.of_rater(rater)]
        else:
            if not re.fullmatch("[0-9]{1,9}", value):
                raise Invalid(f"{key}: expected a number, got {value[:60]!r}.", field=key)
            reached = reach.under(project, **{self.BY.get(key, key): int(value)})
        return Response([ReachedOut(each).data for each in reached])
