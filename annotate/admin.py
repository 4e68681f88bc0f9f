"""Looking things up in the admin. Nothing here writes: changes go through services, which check and record them."""

from __future__ import annotations

from django.contrib import admin

from tiebreak.accounts.admin import LookOnly, LookOnlyRows

from . import models


@admin.register(models.Comparison)
class Comparisons(LookOnly):
    list_display = ("external_id", "project", "status", "route", "priority", "seats_taken", "overlap")
    list_filter = ("project", "status", "route")
    list_select_related = ("project",)
    search_fields = ("external_id",)
    raw_id_fields = ("prompt", "completion_a", "completion_b", "import_run")


@admin.register(models.Assignment)
class Assignments(LookOnly):
    list_display = ("id", "comparison", "rater", "purpose", "status", "order", "expires_at", "skip_reason")
    list_filter = ("purpose", "status", "order")
    list_select_related = ("comparison", "rater")
    search_fields = ("comparison__external_id", "rater__name")


@admin.register(models.Judgement)
class Judgements(LookOnly):
    list_display = (
        "id",
        "comparison",
        "rater",
        "preference",
        "both_bad",
        "order",
        "revision",
        "current",
        "submitted_at",
    )
    list_filter = ("current", "both_bad", "order")
    list_select_related = ("comparison", "rater")
    search_fields = ("comparison__external_id", "rater__name")


@admin.register(models.JudgeCall)
class JudgeCalls(LookOnly):
    list_display = ("id", "judge", "comparison", "order", "status", "price", "latency_ms", "reason")
    list_filter = ("status",)
    list_select_related = ("judge", "comparison")
    search_fields = ("comparison__external_id",)


@admin.register(models.Rater)
class Raters(LookOnly):
    list_display = ("name", "project", "kind", "user", "simulated", "paused_at")
    list_filter = ("project", "kind", "simulated")
    list_select_related = ("project", "user")
    search_fields = ("name",)


@admin.register(models.Judge)
class Judges(LookOnly):
    list_display = ("name", "version", "project", "kind", "backend", "model", "retired_at")
    list_filter = ("project", "kind")
    list_select_related = ("project",)


@admin.register(models.Form)
class Forms(LookOnly):
    list_display = ("project", "number", "current", "levels", "overlap", "justification")
    list_filter = ("project", "current")
    list_select_related = ("project",)


class Criteria(LookOnlyRows):
    model = models.Criterion


@admin.register(models.Rubric)
class Rubrics(LookOnly):
    list_display = ("name", "version", "project", "status", "approved_by", "approved_at")
    list_filter = ("project", "status")
    list_select_related = ("project", "approved_by")
    inlines = (Criteria,)


@admin.register(models.Prompt)
class Prompts(LookOnly):
    list_display = ("id", "project", "sha256")
    list_select_related = ("project",)
    search_fields = ("sha256",)


@admin.register(models.Completion)
class Completions(LookOnly):
    list_display = ("id", "generator", "external_id", "sha256")
    search_fields = ("sha256", "external_id", "generator")
    raw_id_fields = ("prompt",)


@admin.register(models.Lane)
class Lanes(LookOnly):
    list_display = ("project", "number", "skills", "language", "stratum")
    list_filter = ("project",)
    list_select_related = ("project",)
    search_fields = ("stratum", "language")


@admin.register(models.Session)
class Sessions(LookOnly):
    list_display = ("rater", "started_at", "ended_at", "judged", "skipped", "seconds")
    list_select_related = ("rater",)
    search_fields = ("rater__name",)


@admin.register(models.Trial)
class Trials(LookOnly):
    list_display = ("rater", "kind", "attempt", "position", "comparison", "right", "answered_at")
    list_filter = ("kind", "right")
    list_select_related = ("rater", "comparison")
    search_fields = ("rater__name", "comparison__external_id")


@admin.register(models.Flag)
class Flags(LookOnly):
    list_display = ("comparison", "rater", "kind", "created_at", "resolved_at", "resolved_by", "resolution")
    list_filter = ("kind",)
    list_select_related = ("comparison", "rater", "resolved_by")
    search_fields = ("comparison__external_id", "rater__name")


@admin.register(models.Comment)
class Comments(LookOnly):
    list_display = ("project", "comparison", "rater", "author", "text", "created_at")
    list_filter = ("project",)
    list_select_related = ("project", "comparison", "rater", "author")
    search_fields = ("text", "comparison__external_id")


@admin.register(models.Mention)
class Mentions(LookOnly):
    list_display = ("comment", "user", "seen_at")
    list_select_related = ("comment", "user")
    search_fields = ("user__username",)


@admin.register(models.Review)
class Reviews(LookOnly):
    list_display = ("judgement", "verdict", "by", "created_at", "answered_at")
    list_filter = ("verdict",)
    list_select_related = ("judgement__rater", "by")
    search_fields = ("judgement__comparison__external_id",)


@admin.register(models.Adjudication)
class Adjudications(LookOnly):
    list_display = ("comparison", "preference", "both_bad", "adjudicator", "current", "created_at")
    list_filter = ("current", "both_bad")
    list_select_related = ("comparison", "by", "rater")
    search_fields = ("comparison__external_id",)


@admin.register(models.Image)
class Images(LookOnly):
    list_display = ("project", "source", "status", "media_type", "width", "height", "error")
    list_filter = ("project", "status")
    list_select_related = ("project",)
    search_fields = ("source",)
