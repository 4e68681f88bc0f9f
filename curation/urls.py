"""Addresses of the curator's pages."""

from django.urls import include, path, register_converter
from django.urls.converters import StringConverter

from . import (
    evaluation_sets_desk,
    insight,
    noise_review,
    raters,
    recipes,
    reviews,
    routing_desk,
    versions_desk,
    views,
    withdrawals,
)


class AnyId(StringConverter):
    """The user's own id of a comparison, which may be any text."""

    regex = r"[\s\S]+"


register_converter(AnyId, "any")
VERSION = "datasets/<slug:name>/<int:number>/"

of_a_project = [
    path("", views.project, name="project"),
    path("start/<slug:verb>/", views.start, name="start"),
    path("comparisons/", views.comparisons, name="comparisons"),
    path("comparisons/<int:pk>/", views.comparison, name="comparison"),
    path("reviews/", reviews.reviews, name="reviews"),
    path("reviews/<int:pk>/", reviews.review, name="review"),
    path("flags/", reviews.flags, name="flags"),
    path("noise/", noise_review.noise, name="noise"),
    path("noise/treat/", noise_review.treat, name="noise-treat"),
    path("noise/treatments/<int:pk>/undo/", noise_review.undo, name="noise-undo"),
    path("noise/comparisons/<int:pk>/", noise_review.decide, name="noise-decide"),
    path("agreement/", insight.agreement, name="agreement"),
    path("planner/", insight.planner, name="planner"),
    path("raters/", raters.raters, name="raters"),
    path("raters/<int:pk>/", raters.rater, name="rater"),
    path("raters/<int:pk>/pause/", raters.pause, name="rater-pause"),
    path("raters/<int:pk>/resume/", raters.resume, name="rater-resume"),
    path("raters/<int:pk>/message/", raters.message, name="rater-message"),
    path("raters/<int:pk>/requalify/", raters.requalify, name="rater-requalify"),
    path("raters/<int:pk>/excuse/", raters.excuse, name="rater-excuse"),
    path("raters/<int:pk>/measure/", raters.measure, name="rater-measure"),
    path("raters/<int:pk>/equip/", raters.equip, name="rater-equip"),
    path("judges/", views.judges, name="judges"),
    path("judges/create/", views.judge_create, name="judge-create"),
    path("routing/", routing_desk.routing, name="routing"),
    path("routing/policies/check/", routing_desk.policy_check, name="routing-policy-check"),
    path("routing/policies/create/", routing_desk.policy_create, name="routing-policy-create"),
    path("routing/policies/<int:pk>/activate/", routing_desk.policy_activate, name="routing-policy-activate"),
    path("routing/policies/<int:pk>/retire/", routing_desk.policy_retire, name="routing-policy-retire"),
    path("routing/policies/<int:pk>/simulate/", routing_desk.policy_simulate, name="routing-policy-simulate"),
    path("routing/settings/", routing_desk.settings, name="routing-settings"),
    path("routing/grant/", routing_desk.grant, name="routing-grant"),
    path("routing/trust/", routing_desk.trust, name="routing-trust"),
    path("routing/override/<int:pk>/", routing_desk.override, name="routing-override"),
    path("routing/lift/<int:pk>/", routing_desk.lift, name="routing-lift"),
    path("rubrics/", views.rubrics, name="rubrics"),
    path("rubrics/write/", views.rubric_write, name="rubric-write"),
    path("rubrics/<int:pk>/<slug:action>/", views.rubric_action, name="rubric-action"),
    path("datasets/", views.datasets, name="datasets"),
    path("datasets/new/", recipes.recipe, name="recipe"),
    path("datasets/new/count/", recipes.count, name="recipe-count"),
    path("datasets/new/build/", recipes.build, name="build"),
    path("datasets/origins/", versions_desk.origins, name="origins"),
    path("datasets/<slug:name>/versions/", views.dataset, name="dataset"),
    path(VERSION, views.version, name="version"),
    path(VERSION + "dropped/", views.dropped, name="dropped"),
    path(VERSION + "rows/", versions_desk.rows, name="version-rows"),
    path(VERSION + "rows/<any:external_id>/", versions_desk.row, name="version-row"),
    path(VERSION + "tag/", versions_desk.tag, name="version-tag"),
    path(VERSION + "untag/", versions_desk.untag, name="version-untag"),
    path(VERSION + "note/", versions_desk.note, name="version-note"),
    path(VERSION + "since/<int:since>/", versions_desk.difference, name="difference"),
    path(VERSION + "since/<int:since>/rows.jsonl", versions_desk.difference_rows, name="difference-rows"),
    path("datasets/<slug:name>/compare/", versions_desk.compare, name="versions-compare"),
    path(VERSION + "files/<str:filename>", views.version_file, name="version-file"),
    path("evaluation-sets/", evaluation_sets_desk.listed, name="evaluation-sets"),
    path("evaluation-sets/add/", evaluation_sets_desk.add, name="evaluation-set-add"),
    path("evaluation-sets/<slug:name>/remove/", evaluation_sets_desk.remove, name="evaluation-set-remove"),
    path("withdrawals/", withdrawals.withdrawals, name="withdrawals"),
    path("raters/<int:pk>/withdraw/", withdrawals.rater, name="rater-withdraw"),
    path("comparisons/<int:pk>/withdraw/", withdrawals.comparison, name="comparison-withdraw"),
    path("models/", views.models, name="models"),
    path("models/<path:name>/", views.model, name="model"),
    path("runs/", views.runs, name="runs"),
    path("runs/<int:pk>/", views.run, name="run"),
    path("runs/<int:pk>/cancel/", views.run_cancel, name="run-cancel"),
    path("runs/<int:pk>/retry/", views.run_retry, name="run-retry"),
    path("runs/<int:pk>/files/<path:name>", views.run_file, name="run-file"),
    path("members/", views.members, name="members"),
    path("members/set/", views.member_set, name="member-set"),
    path("members/<int:pk>/remove/", views.member_remove, name="member-remove"),
]

urlpatterns = [
    path("p/<slug:slug>/", include(of_a_project)),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/<int:pk>/revoke/", views.token_revoke, name="token-revoke"),
]
