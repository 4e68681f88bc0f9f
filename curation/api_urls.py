"""Addresses of the curation API, under /api/v1/."""

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from . import api

router = SimpleRouter()
router.register("datasets", api.DatasetViewSet, basename="api-datasets")
router.register("reward-models", api.RewardModelViewSet, basename="api-reward-models")

VERSION = r"^datasets/(?P<name>[a-z0-9-]+)/versions/(?P<number>[0-9]{1,9}|latest)/"

urlpatterns = [
    path("datasets/<slug:name>/versions/", api.BuildView.as_view(), name="api-build"),
    re_path(VERSION + "$", api.ManifestView.as_view(), name="api-version"),
    re_path(VERSION + "rows/$", api.RowsView.as_view(), name="api-rows"),
    re_path(VERSION + r"files/(?P<filename>[\w.-]+)$", api.FileView.as_view(), name="api-file"),
    path("projects/<slug:slug>/verbs/", api.VerbView.as_view(), name="api-verbs"),
    path("projects/<slug:slug>/judges/", api.JudgesView.as_view(), name="api-judges"),
    path("projects/<slug:slug>/rubrics/", api.RubricsView.as_view(), name="api-rubrics"),
    path("projects/<slug:slug>/rubrics/<int:pk>/approve/", api.ApproveView.as_view(), name="api-rubric-approve"),
    path("", include(router.urls)),
]
