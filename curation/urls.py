"""Addresses of the curator's pages."""

from django.urls import include, path

from . import raters, reviews, views

VERSION = "datasets/<slug:name>/<int:number>/"

of_a_project = [
    path("", views.project, name="project"),
    path("start/<slug:verb>/", views.start, name="start"),
    path("comparisons/", views.comparisons, name="comparisons"),
    path("comparisons/<int:pk>/", views.comparison, name="comparison"),
    path("reviews/", reviews.reviews, name="reviews"),
    path("reviews/<int:pk>/", reviews.review, name="review"),
    path("flags/", reviews.flags, name="flags"),
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
    path("rubrics/", views.rubrics, name="rubrics"),
    path("rubrics/write/", views.rubric_write, name="rubric-write"),
    path("rubrics/<int:pk>/<slug:action>/", views.rubric_action, name="rubric-action"),
    path("datasets/", views.datasets, name="datasets"),
    path("datasets/build/", views.build, name="build"),
    path("datasets/<slug:name>/versions/", views.dataset, name="dataset"),
    path(VERSION, views.version, name="version"),
    path(VERSION + "dropped/", views.dropped, name="dropped"),
    path(VERSION + "files/<str:filename>", views.version_file, name="version-file"),
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
