"""REST around a version that never changes: its tags, its notes, and the lineage of its rows."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tiebreak.accounts.models import ApiToken, Project, Scope
from tiebreak.accounts.roles import Can
from tiebreak.api.idempotency import idempotent
from tiebreak.api.permissions import Scoped, visible_projects
from tiebreak.core.errors import NotAllowed, NotFound

from .models import Dataset, DatasetVersion, VersionNote, VersionTag
from .serializers import Strict
from .services import tagging, versions

READERS = (Scope.EXPORT, Scope.TRAIN, Scope.CURATE)


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


class OfDataset(Scoped, APIView):
    """What every view here shares: finding a dataset or a version among what the caller may read."""

    scopes: ClassVar[tuple[str, ...]] = READERS

    def readable(self, request: Request) -> Any:
        return Project.objects.where(request.user, Can.READ) & visible_projects(request)

    def dataset(self, request: Request, name: str) -> Dataset:
        found = Dataset.objects.select_related("project").filter(name=name, project__in=self.readable(request)).first()
        if found is None:
            raise NotFound(f"There is no dataset {name!r} that you may read.", code="no_dataset")
        return found

    def version(self, request: Request, name: str, number: str) -> DatasetVersion:
        visible = DatasetVersion.objects.filter(dataset__project__in=self.readable(request))
        return versions.find(name, number, visible=visible)


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
        version = self.version(request, name, given.validated_data["version"])
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
        notes = self.version(request, name, number).notes.select_related("by")
        return Response(NoteOut(notes, many=True).data)

    @extend_schema(operation_id="version_note", request=NoteIn, responses={201: NoteOut})
    @idempotent
    def post(self, request: Request, name: str, number: str) -> Response:
        """Write something down about the version; it is never altered."""
        version = self.version(request, name, number)
        may_change(request, version.dataset.project)
        given = NoteIn(data=request.data)
        given.is_valid(raise_exception=True)
        made = tagging.note(version, given.validated_data["text"], by=request.user)
        return Response(NoteOut(made).data, status=201)
