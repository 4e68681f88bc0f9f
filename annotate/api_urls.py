"""Addresses of the annotate API, under /api/v1/."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from . import api, api_images

router = SimpleRouter()
router.register("projects", api.ProjectViewSet, basename="api-projects")
router.register("runs", api.RunViewSet, basename="api-runs")

urlpatterns = [
    path("projects/<slug:slug>/imports/", api.ImportView.as_view(), name="api-imports"),
    path("projects/<slug:slug>/comparisons/", api.ComparisonList.as_view(), name="api-comparisons"),
    # Ids are the users' own and may hold slashes.
    path("projects/<slug:slug>/comparisons/<path:external_id>/", api.ComparisonDetail.as_view(), name="api-comparison"),
    path("projects/<slug:slug>/judgements/", api.JudgementList.as_view(), name="api-judgements"),
    path("projects/<slug:slug>/", include("annotate.api_review")),
    path("projects/<slug:slug>/images/", api_images.ImageList.as_view(), name="api-images"),
    path("projects/<slug:slug>/images/<int:pk>/", api_images.ImageFile.as_view(), name="api-image"),
    path("runs/<int:pk>/rejects/", api.RejectsView.as_view(), name="api-rejects"),
    path("", include("annotate.api_practice")),
    # Annotating clients: next/, assignments/….
    path("", include("annotate.api_compare")),
    path("", include(router.urls)),
]
