"""REST of evaluation sets: what recipes may be decontaminated against."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import IO, Any, ClassVar, cast

from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tiebreak.accounts.models import Scope
from tiebreak.accounts.roles import Can
from tiebreak.api.idempotency import idempotent
from tiebreak.api.negotiation import TakeIt
from tiebreak.api.parsers import NDJSONParser, StrictJSONParser
from tiebreak.api.permissions import Scoped, project_for

from .models import DatasetVersion, EvaluationSet
from .serializers import Strict
from .services import evaluation_sets


class EvaluationSetIn(Strict):
    name = serializers.CharField(max_length=64, help_text="as recipes call it, such as gsm8k-test")
    texts = serializers.ListField(child=serializers.CharField(trim_whitespace=False, allow_blank=True))


class EvaluationSetOut(serializers.ModelSerializer[EvaluationSet]):
    by = serializers.CharField(source="by.username", allow_null=True, default=None)
    versions = serializers.SerializerMethodField(help_text="that were held against it")

    class Meta:
        model = EvaluationSet
        fields = ("name", "texts", "sha256", "by", "at", "versions")

    def get_versions(self, row: EvaluationSet) -> list[str]:
        return [str(version) for version in self.context["versions"]]


class EvaluationSetsView(Scoped, APIView):
    """The project's evaluation sets."""

    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE,)
    parser_classes = [StrictJSONParser, NDJSONParser]
    content_negotiation_class = TakeIt

    @extend_schema(operation_id="evaluation_sets", responses=EvaluationSetOut(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """All of them by name, each with the versions that were held against it."""
        listed = evaluation_sets.listed(project_for(request, slug, Can.READ))
        return Response([_told(row, versions) for row, versions in listed])

    @extend_schema(
        operation_id="evaluation_set_add",
        parameters=[
            OpenApiParameter("name", str, description="of the set, where the body is a file"),
            OpenApiParameter("field", str, description="where a record's texts are, several with commas between"),
        ],
        request={"application/json": EvaluationSetIn, "application/x-ndjson": OpenApiTypes.BINARY},
        responses={201: EvaluationSetOut},
    )
    @idempotent
    def post(self, request: Request, slug: str) -> Response:
        """Add a set: `{"name", "texts"}`, or a file as application/x-ndjson, gzipped or not, with its name in the
        query."""
        project = project_for(request, slug, Can.CURATE)
        name, file, field = _given(request)
        row = evaluation_sets.add(project, name, file, field=field, by=request.user)
        return Response(_told(row, evaluation_sets.versions_using(project, row.name)), status=201)


def _told(row: EvaluationSet, versions: Iterable[DatasetVersion]) -> dict[str, Any]:
    return dict(EvaluationSetOut(row, context={"versions": versions}).data)


def _given(request: Request) -> tuple[str, IO[bytes], str]:
    if hasattr(request.data, "read"):
        file = cast("IO[bytes]", request.data)
        return request.query_params.get("name", ""), file, request.query_params.get("field", "")
    given = EvaluationSetIn(data=request.data)
    given.is_valid(raise_exception=True)
    lines = (json.dumps({"text": text}).encode() + b"\n" for text in given.validated_data["texts"])
    return given.validated_data["name"], io.BytesIO(b"".join(lines)), "text"


class EvaluationSetView(Scoped, APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.CURATE,)

    @extend_schema(operation_id="evaluation_set_remove", responses={204: None})
    def delete(self, request: Request, slug: str, name: str) -> Response:
        """Remove a set that no version was held against."""
        row = get_object_or_404(EvaluationSet, project=project_for(request, slug, Can.CURATE), name=name)
        evaluation_sets.remove(row, by=request.user)
        return Response(status=204)
