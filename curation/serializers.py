"""Shapes of the curation API. No logic: services decide, serializers describe."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from .models import Dataset, DatasetVersion, Evaluation, RewardModel, VersionFile


class VersionFileOut(serializers.ModelSerializer[VersionFile]):
    sha256 = serializers.CharField(source="artifact_id")
    size = serializers.IntegerField(source="artifact.size")
    media_type = serializers.CharField(source="artifact.media_type")
    url = serializers.SerializerMethodField()

    class Meta:
        model = VersionFile
        fields = ("name", "split", "rows", "sha256", "size", "media_type", "url")

    def get_url(self, file: VersionFile) -> str:
        path = f"/api/v1/datasets/{file.version.dataset.name}/versions/{file.version.number}/files/{file.name}"
        request = self.context.get("request")
        return request.build_absolute_uri(path) if request else path


class ManifestOut(serializers.ModelSerializer[DatasetVersion]):
    """Everything that a training job must know of a version before it reads a row."""

    dataset = serializers.CharField(source="dataset.name")
    project = serializers.CharField(source="dataset.project.slug")
    licence = serializers.CharField(source="dataset.licence")
    splits = serializers.DictField(source="counts", child=serializers.IntegerField())
    dropped = serializers.DictField(child=serializers.IntegerField())
    files = VersionFileOut(many=True)

    class Meta:
        model = DatasetVersion
        fields = (
            "dataset", "number", "project", "status", "licence", "recipe", "recipe_sha256", "rows_sha256", "splits",
            "dropped", "statistics", "code_version", "created_at", "files", "card",
        )  # fmt: skip


class DatasetOut(serializers.ModelSerializer[Dataset]):
    project = serializers.CharField(source="project.slug")
    versions = serializers.SerializerMethodField()

    class Meta:
        model = Dataset
        fields = ("name", "project", "description", "licence", "versions", "created_at")

    def get_versions(self, dataset: Dataset) -> list[int]:
        return [v.number for v in dataset.versions.all() if v.status == DatasetVersion.Status.READY]


class BuildIn(serializers.Serializer[dict[str, Any]]):
    project = serializers.SlugField()
    recipe = serializers.JSONField(required=False, help_text="fields of a recipe; empty: the default recipe")


class RunIn(serializers.Serializer[dict[str, Any]]):
    kind = serializers.CharField(help_text="judge, rubrics, aggregate, route, noise, train, evaluate or return")
    params = serializers.JSONField(required=False, help_text="the verb's own parameters, as its command takes them")


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


class ScoreIn(serializers.Serializer[dict[str, Any]]):
    rows = serializers.ListField(
        child=serializers.DictField(), min_length=1, max_length=1000, help_text="[{prompt, completion}]"
    )
