"""Shapes of the curation API. No logic: services decide, serializers describe."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Max
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotate.models import Criterion, Judge, Rubric
from curation.exports.following import in_order
from curation.exports.schema import SCHEMA
from curation.stats import Estimate
from tiebreak.core.text import TextError, clean_json

from .models import Dataset, DatasetRow, DatasetVersion, Evaluation, RewardModel, VersionFile
from .services.reading import agreement


class Strict(serializers.Serializer[dict[str, Any]]):
    """Refuses fields that it does not know, so that a misspelt one is not silently lost."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            raise serializers.ValidationError({unknown[0]: f"unknown field (known: {', '.join(self.fields)})"})
        return super().to_internal_value(data)


class ObjectField(serializers.DictField):
    """A JSON object that the database can store."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return clean_json(super().to_internal_value(data), self.field_name or "value")
        except TextError as error:
            raise serializers.ValidationError(f"expected {error.expected}, got {error.got} ({error.field})") from error


class VersionFileOut(serializers.ModelSerializer[VersionFile]):
    sha256 = serializers.CharField(source="artifact_id")
    size = serializers.IntegerField(source="artifact.size")
    media_type = serializers.CharField(source="artifact.media_type")
    url = serializers.SerializerMethodField()

    class Meta:
        model = VersionFile
        fields = ("name", "split", "undecided", "rows", "sha256", "size", "media_type", "url")

    def get_url(self, file: VersionFile) -> str:
        path = f"/api/v1/datasets/{file.version.dataset.name}/versions/{file.version.number}/files/{file.name}"
        request = self.context.get("request")
        return request.build_absolute_uri(path) if request else path


class ColumnOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    type = serializers.CharField(help_text="in the words of Arrow")
    nullable = serializers.BooleanField()


class DroppedField(serializers.DictField):
    def to_representation(self, value: dict[str, int]) -> dict[str, int]:
        return in_order(super().to_representation(value))


class ManifestOut(serializers.ModelSerializer[DatasetVersion]):
    """Everything that a training job must know of a version before it reads a row."""

    dataset = serializers.CharField(source="dataset.name")
    project = serializers.CharField(source="dataset.project.slug")
    failed_because = serializers.SerializerMethodField(help_text="why its build failed; null where it has not")
    licence = serializers.CharField(source="dataset.licence")
    splits = serializers.DictField(source="counts", child=serializers.IntegerField())
    undecided = serializers.SerializerMethodField(help_text="{tie or both_bad: rows}: kept, and told as no pair")
    dropped = DroppedField(child=serializers.IntegerField())
    changed = serializers.DictField(child=serializers.IntegerField())
    withdrawn = serializers.SerializerMethodField(help_text="rows that were taken out since, whole")
    altered = serializers.SerializerMethodField(
        help_text="rows that lost a vote since, to a withdrawal, and are still there"
    )
    parent = serializers.SerializerMethodField(  # type: ignore[assignment]  # DRF's own attribute is an instance's
        help_text="number of the version before it that was ready"
    )
    tags = serializers.SlugRelatedField[Any](slug_field="name", many=True, read_only=True)
    columns = serializers.SerializerMethodField(help_text="of a native row")
    files = VersionFileOut(many=True)

    class Meta:
        model = DatasetVersion
        fields = (
            "dataset", "number", "project", "status", "failed_because", "licence", "tags", "parent", "recipe",
            "recipe_sha256", "rows_sha256", "chain_sha256", "splits", "undecided", "dropped", "changed", "withdrawn",
            "altered", "statistics", "code_version", "created_at", "columns", "files", "card",
        )  # fmt: skip

    def get_failed_because(self, version: DatasetVersion) -> str | None:
        """Of a refusal its words; of a crash, whose words may quote a row, its kind."""
        if version.status != DatasetVersion.Status.FAILED or version.run is None:
            return None
        error = version.run.error or {"type": version.run.status}
        return str(error["message"] if "code" in error else error["type"])

    def get_undecided(self, version: DatasetVersion) -> dict[str, int]:
        others = version.rows.exclude(verdict=DatasetRow.Verdict.CHOSEN).order_by()
        return dict(others.values_list("verdict").annotate(n=Count("pk")))

    def get_withdrawn(self, version: DatasetVersion) -> int:
        return version.tombstones.filter(became="").count()

    def get_altered(self, version: DatasetVersion) -> int:
        gone = version.tombstones.filter(became="").values("position")
        left = version.tombstones.exclude(became="").exclude(position__in=gone)
        return left.values("position").distinct().count()

    def get_parent(self, version: DatasetVersion) -> int | None:
        earlier = version.dataset.versions.filter(number__lt=version.number, status=DatasetVersion.Status.READY)
        last: int | None = earlier.aggregate(last=Max("number"))["last"]
        return last

    @extend_schema_field(ColumnOut(many=True))
    def get_columns(self, version: DatasetVersion) -> list[dict[str, Any]]:
        return [{"name": f.name, "type": str(f.type), "nullable": f.nullable} for f in SCHEMA]


class DatasetOut(serializers.ModelSerializer[Dataset]):
    project = serializers.CharField(source="project.slug")
    versions = serializers.SerializerMethodField()

    class Meta:
        model = Dataset
        fields = ("name", "project", "description", "licence", "versions", "created_at")

    def get_versions(self, dataset: Dataset) -> list[int]:
        return [v.number for v in dataset.versions.all() if v.status == DatasetVersion.Status.READY]


class BuildIn(Strict):
    project = serializers.SlugField()
    recipe = ObjectField(required=False, help_text="fields of a recipe; empty: the default recipe")


class BuildOut(serializers.Serializer[dict[str, Any]]):
    version = serializers.CharField(help_text="NAME@NUMBER")
    number = serializers.IntegerField()
    run = serializers.IntegerField()


class RunIn(Strict):
    kind = serializers.CharField(help_text="judge, rubrics, aggregate, route, noise, train, evaluate or return")
    params = ObjectField(required=False, help_text="the verb's own parameters, as its command takes them")


class StartedOut(serializers.Serializer[dict[str, Any]]):
    run = serializers.IntegerField()


class JudgeIn(Strict):
    name = serializers.CharField(max_length=100)
    kind = serializers.CharField(help_text="pairwise, rubric or reward-model")
    model = serializers.CharField(max_length=200, help_text="what the server calls it, or a reward model's name")
    backend = serializers.CharField(required=False, help_text="openai (default) or scripted")
    base_url = serializers.CharField(required=False, allow_blank=True, max_length=500)
    api_key_env = serializers.CharField(
        required=False, allow_blank=True, max_length=100, help_text="name of the worker's variable with the key"
    )
    rubric = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1, help_text="id of a rubric")
    price_prompt = serializers.DecimalField(required=False, max_digits=10, decimal_places=4, min_value=0)
    price_completion = serializers.DecimalField(required=False, max_digits=10, decimal_places=4, min_value=0)
    config = ObjectField(required=False)


class JudgeOut(serializers.ModelSerializer[Judge]):
    rater = serializers.CharField(source="rater.name", help_text="the name under which its judgements stand")

    class Meta:
        model = Judge
        fields = (
            "id", "name", "version", "kind", "backend", "model", "base_url", "api_key_env", "rubric", "price_prompt",
            "price_completion", "config", "rater", "retired_at", "created_at",
        )  # fmt: skip


class CriterionOut(serializers.ModelSerializer[Criterion]):
    class Meta:
        model = Criterion
        fields = ("position", "kind", "text", "weight", "evidence")


class RubricOut(serializers.ModelSerializer[Rubric]):
    criteria = CriterionOut(many=True)
    approved_by = serializers.CharField(source="approved_by.username", allow_null=True, default=None)

    class Meta:
        model = Rubric
        fields = (
            "id", "name", "version", "status", "evidence", "criteria", "approved_by", "approved_at", "created_at",
        )  # fmt: skip


class EvaluationOut(serializers.ModelSerializer[Evaluation]):
    class Meta:
        model = Evaluation
        fields = ("benchmark", "data_sha256", "metrics", "created_at")


class RewardModelOut(serializers.ModelSerializer[RewardModel]):
    project = serializers.CharField(source="project.slug")
    version = serializers.CharField(source="version.__str__")
    weights_sha256 = serializers.CharField(source="weights_id")
    evaluations = EvaluationOut(many=True)

    class Meta:
        model = RewardModel
        fields = (
            "name", "project", "stage", "version", "config", "seed", "training", "weights_sha256", "evaluations",
            "created_at",
        )  # fmt: skip


class ScoreIn(Strict):
    rows = serializers.ListField(
        child=serializers.DictField(), min_length=1, max_length=1000, help_text="[{prompt, completion}]"
    )


class AgreementIn(Strict):
    """What to measure by and what to slice by, in the address."""

    coefficient = serializers.ChoiceField(choices=list(agreement.COEFFICIENTS), default="alpha-ordinal")
    slice = serializers.CharField(max_length=200, default="", allow_blank=True)


class EstimateOut(serializers.Serializer[Estimate]):
    """A figure with its 95 % interval; null where it does not exist, and then `reason` says why."""

    value = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()
    reason = serializers.CharField()


class AgreementRowOut(serializers.Serializer[agreement.Row]):
    label = serializers.CharField()  # type: ignore[assignment]  # DRF's own attribute is an instance's
    people = EstimateOut()
    judges_with_people = EstimateOut(source="across")
    judges = EstimateOut()


class RaterAgreementOut(serializers.Serializer[agreement.With]):
    rater = serializers.CharField(source="rater.name")
    kind = serializers.CharField(source="rater.kind")
    with_people = EstimateOut(source="people")


class LeanOut(serializers.Serializer[agreement.Lean]):
    """How often, how much more often than the people on the same comparisons, and the log-odds beside them."""

    share = EstimateOut()
    excess = EstimateOut()
    slope = EstimateOut()


class LeansOut(serializers.Serializer[agreement.Leans]):
    rater = serializers.CharField(source="rater.name")
    kind = serializers.CharField(source="rater.kind")
    family = serializers.CharField()
    first = LeanOut(source="side")
    longer = LeanOut(source="length")
    layout = LeanOut()
    own_family = LeanOut(source="own", allow_null=True)


class RateOut(serializers.Serializer[agreement.Rate]):
    """A rate over judges' labels, corrected by the audit; by people on the audit alone; by the judges alone."""

    label = serializers.CharField()  # type: ignore[assignment]  # DRF's own attribute is an instance's
    corrected = EstimateOut(source="corrected.corrected")
    audit = EstimateOut(source="corrected.audit")
    judges = serializers.FloatField(source="judged", allow_null=True)
    gain = serializers.FloatField(source="corrected.gain", allow_null=True)


class AgreementOut(serializers.Serializer[agreement.AgreementPage]):
    """Agreement of the judgements as raters gave them; `verdicts` say by Krippendorff's alpha whether it is more than
    chance. `later` judgements count for no agreement: what earlier ones said may have brought them."""

    coefficient = serializers.CharField()
    slice = serializers.CharField()
    slices = serializers.ListField(child=serializers.CharField(), source="choices")
    comparisons = serializers.IntegerField()
    of = serializers.IntegerField(source="total")
    judgements = serializers.IntegerField()
    later = serializers.IntegerField()
    verdicts = serializers.ListField(child=serializers.CharField())
    whole = AgreementRowOut()
    rows = AgreementRowOut(many=True)
    raters = RaterAgreementOut(source="withs", many=True)
    leanings = LeansOut(source="leans", many=True)
    rates = RateOut(many=True)
