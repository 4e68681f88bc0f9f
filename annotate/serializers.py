"""What the import API takes and gives. Rows go out with the names that they come in with."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from tiebreak.accounts.models import Project
from tiebreak.runs.kinds import KINDS
from tiebreak.runs.models import Run, RunArtifact

from .models import Comparison, Completion, Judgement, Prompt, Rater

MESSAGES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"role": {"type": "string"}, "content": {"type": "string"}},
        "required": ["role", "content"],
    },
}


@extend_schema_field({"oneOf": [{"type": "string"}, MESSAGES]})
class TurnsField(serializers.Field[Prompt | Completion, Any, Any, Any]):
    """A text where it came as one, otherwise its messages."""

    def to_representation(self, value: Prompt | Completion) -> Any:
        return value.messages[-1]["content"] if value.is_text else value.messages


class ProjectOut(serializers.ModelSerializer[Project]):
    role = serializers.SerializerMethodField()

    class Meta:
        model = Project
        fields = ["slug", "name", "description", "role", "created_at", "archived_at"]

    def get_role(self, project: Any) -> str:
        """What you are in it."""
        return str(project.mine[0].role)


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses names that it does not know: a misspelt filter must not silently be no filter."""

    paging = ("cursor", "page_size")

    def to_internal_value(self, data: Any) -> Any:
        known = (*self.fields, *self.paging)
        if unknown := sorted(set(data) - set(known)):
            raise serializers.ValidationError({unknown[0]: f"not known here (known: {', '.join(known)})"})
        return super().to_internal_value(data)


class ComparisonFilter(StrictSerializer):
    status = serializers.ChoiceField(choices=Comparison.Status.choices, required=False)
    route = serializers.ChoiceField(choices=Comparison.Route.choices, required=False)
    group = serializers.CharField(required=False, trim_whitespace=False)
    since = serializers.DateTimeField(
        required=False, source="updated_at__gte", help_text="changed at or after this time"
    )


class JudgementFilter(StrictSerializer):
    comparison = serializers.CharField(required=False, trim_whitespace=False, source="comparison__external_id")
    rater = serializers.CharField(required=False, trim_whitespace=False, source="rater__name")
    kind = serializers.ChoiceField(choices=Rater.Kind.choices, required=False, source="rater__kind")
    current = serializers.BooleanField(default=True, help_text="false: those that were revised")
    since = serializers.DateTimeField(required=False, source="submitted_at__gte")


class RunFilter(StrictSerializer):
    status = serializers.ChoiceField(choices=Run.Status.choices, required=False)
    kind = serializers.ChoiceField(choices=sorted(KINDS), required=False)
    project = serializers.CharField(required=False, source="project__slug")


class ListedJudgement(serializers.ModelSerializer[Judgement]):
    comparison = serializers.CharField(source="comparison.external_id")
    rater = serializers.CharField(source="rater.name")
    kind = serializers.ChoiceField(choices=Rater.Kind.choices, source="rater.kind")
    simulated = serializers.BooleanField(source="rater.simulated")
    order = serializers.CharField(allow_null=True, help_text="ab or ba; null: not known")

    class Meta:
        model = Judgement
        fields = [
            "id", "comparison", "rater", "kind", "simulated", "preference", "both_bad", "unparsed_because",
            "probability_b", "aspects", "reasons", "justification", "order", "seconds", "submitted_at", "repeat",
            "revision", "current",
        ]  # fmt: skip


class ComparisonOut(serializers.ModelSerializer[Comparison]):
    id = serializers.CharField(source="external_id")
    status = serializers.CharField(help_text=", ".join(Comparison.Status.values))
    prompt = TurnsField()
    completion_a = TurnsField()
    completion_b = TurnsField()
    generator_a = serializers.CharField(source="completion_a.generator")
    generator_b = serializers.CharField(source="completion_b.generator")

    class Meta:
        model = Comparison
        fields = [
            "id", "prompt", "completion_a", "completion_b", "generator_a", "generator_b", "group", "reference",
            "context", "metadata", "gold", "status", "route", "priority", "overlap", "seats_taken", "created_at",
            "updated_at",
        ]  # fmt: skip


class ComparisonDetailOut(ComparisonOut):
    judgements = serializers.SerializerMethodField()

    class Meta(ComparisonOut.Meta):
        fields = [*ComparisonOut.Meta.fields, "judgements"]

    @extend_schema_field(ListedJudgement(many=True))
    def get_judgements(self, comparison: Comparison) -> Any:
        """What raters say now."""
        found = comparison.judgements.current().select_related("rater", "comparison").order_by("id")
        return ListedJudgement(found, many=True).data


class RunArtifactOut(serializers.ModelSerializer[RunArtifact]):
    sha256 = serializers.CharField(source="artifact_id")
    size = serializers.IntegerField(source="artifact.size")

    class Meta:
        model = RunArtifact
        fields = ["name", "sha256", "size"]


class RunOut(serializers.ModelSerializer[Run]):
    """`done` of `total` (null: not known) says how far it is; when it has succeeded, `result` has the figures."""

    status = serializers.CharField(help_text=", ".join(Run.Status.values))
    project = serializers.CharField(source="project.slug", allow_null=True, default=None)
    created_by = serializers.CharField(source="created_by.username", allow_null=True, default=None)
    fraction = serializers.FloatField(allow_null=True, read_only=True)
    result = serializers.DictField()
    error = serializers.DictField(allow_null=True)
    artifacts = RunArtifactOut(many=True)

    class Meta:
        model = Run
        fields = [
            "id", "kind", "project", "status", "done", "total", "fraction", "note", "cost", "result", "error",
            "attempt", "artifacts", "created_by", "created_at", "started_at", "finished_at", "cancel_requested_at",
        ]  # fmt: skip


# The body of an import, for the schema alone: rows are judged one by one where they are imported, not here.
ImportRow = inline_serializer(
    "ImportRow",
    {
        "id": serializers.CharField(max_length=200),
        "prompt": TurnsField(),
        "completion_a": TurnsField(required=False),
        "completion_b": TurnsField(required=False),
        "generator_a": serializers.CharField(required=False),
        "generator_b": serializers.CharField(required=False),
        "completions": serializers.ListField(child=serializers.DictField(), required=False),
        "pairs": serializers.JSONField(required=False, help_text="all, rank, or a list of pairs of ids"),
        "group": serializers.CharField(required=False),
        "reference": serializers.CharField(required=False, allow_null=True),
        "context": serializers.CharField(required=False, allow_null=True),
        "metadata": serializers.DictField(required=False),
        "gold": serializers.IntegerField(required=False, allow_null=True),
        "judgements": serializers.ListField(child=serializers.DictField(), required=False),
    },
    many=True,
)
IMPORT_BODY = {
    "application/json": ImportRow,
    "application/x-ndjson": OpenApiTypes.BINARY,
    "text/csv": OpenApiTypes.BINARY,
}
