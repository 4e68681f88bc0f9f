"""Embeddings: what a frozen encoder makes of prompts and completions, and one vector a comparison to find others by.

Vectors of several encoders stand side by side, so their columns have no dimension. `handlers.embedding` makes an HNSW
index for each encoder of which there are many.
"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from pgvector.django import HalfVectorField


class Encoder(models.Model):
    """An encoder in one exact state: other weights, tokenizer or pooling is another encoder."""

    spec = models.CharField(max_length=300, help_text="as it is chosen, such as minilm")
    fingerprint = models.CharField(max_length=200, unique=True)
    dimension = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(dimension__gte=1), name="encoder_dimension")]

    def __str__(self) -> str:
        return self.spec


class ProjectEncoder(models.Model):
    """Whose vectors a project is searched by: the encoder of the last run that embedded all of it."""

    project = models.OneToOneField("accounts.Project", on_delete=models.CASCADE, related_name="encoder")
    encoder = models.ForeignKey(Encoder, on_delete=models.PROTECT, related_name="+")
    run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")
    updated_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.encoder_id} of {self.project_id}"


class PromptVector(models.Model):
    # The unique constraint's index begins with it, here and below.
    prompt = models.ForeignKey("annotate.Prompt", on_delete=models.CASCADE, related_name="+", db_index=False)
    encoder = models.ForeignKey(Encoder, on_delete=models.PROTECT, related_name="+", db_index=False)
    vector = HalfVectorField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["prompt", "encoder"], name="prompt_vector_once")]

    def __str__(self) -> str:
        return f"prompt {self.prompt_id}"


class CompletionVector(models.Model):
    completion = models.ForeignKey("annotate.Completion", on_delete=models.CASCADE, related_name="+", db_index=False)
    encoder = models.ForeignKey(Encoder, on_delete=models.PROTECT, related_name="+", db_index=False)
    vector = HalfVectorField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["completion", "encoder"], name="completion_vector_once")]

    def __str__(self) -> str:
        return f"completion {self.completion_id}"


class ComparisonVector(models.Model):
    """Of unit length along prompt + (a + b) / 2: the same whichever completion is called a."""

    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="+", db_index=False)
    encoder = models.ForeignKey(Encoder, on_delete=models.PROTECT, related_name="+", db_index=False)
    prompt = models.BigIntegerField(help_text="ids of what it was made of: an import may have replaced them since")
    completion_a = models.BigIntegerField()
    completion_b = models.BigIntegerField()
    vector = HalfVectorField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["comparison", "encoder"], name="comparison_vector_once")]

    def __str__(self) -> str:
        return f"comparison {self.comparison_id}"
