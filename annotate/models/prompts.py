"""Prompts and completions, each known by the hash of its text: the same text in a project is the same row."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Prompt(models.Model):
    """The messages shown to a model, one turn or many."""

    project = models.ForeignKey(
        "accounts.Project", on_delete=models.CASCADE, related_name="prompts", db_index=False
    )  # prompt_once begins with it
    messages = models.JSONField(help_text="[{role, content}]")
    is_text = models.BooleanField(default=True, help_text="came as plain text: one user message")
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "sha256"], name="prompt_once")]

    def __str__(self) -> str:
        return str(self.messages[-1]["content"])[:80]


class Completion(models.Model):
    """One model's output to a prompt; it may stand in several comparisons."""

    prompt = models.ForeignKey(
        Prompt, on_delete=models.CASCADE, related_name="completions", db_index=False
    )  # completion_once begins with it
    messages = models.JSONField(help_text="[{role, content}]; the last is the answer")
    is_text = models.BooleanField(default=True)
    text = models.TextField(help_text="content of the last message: what is shown, embedded and searched")
    generator = models.CharField(max_length=200, blank=True, default="", help_text="never shown to annotators")
    external_id = models.CharField(max_length=200, blank=True, default="")
    rank = models.FloatField(null=True)
    score = models.FloatField(null=True)
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["prompt", "sha256", "generator"], name="completion_once")]

    def __str__(self) -> str:
        return self.text[:80]
