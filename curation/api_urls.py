"""Addresses of the curation API, under /api/v1/."""

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from . import api, evaluation_sets_api, noise_api, routing_api, rows_api, versions_api, withdrawals_api
from .services import versions

router = SimpleRouter()
router.register("datasets", api.DatasetViewSet, basename="api-datasets")
router.register("reward-models", api.RewardModelViewSet, basename="api-reward-models")

NOISE = "projects/<slug:slug>/noise/"
ROUTING = "projects/<slug:slug>/routing/"
VERSION = rf"^datasets/(?P<name>[a-z0-9-]+)/versions/(?P<number>{versions.SPEC})/"

urlpatterns = [
    path("datasets/<slug:name>/versions/", api.BuildView.as_view(), name="api-build"),
    re_path(VERSION + "$", api.ManifestView.as_view(), name="api-version"),
    re_path(VERSION + "rows/$", api.RowsView.as_view(), name="api-rows"),
    re_path(VERSION + "rows/(?P<row>.{1,200})/$", api.RowView.as_view(), name="api-row"),
    re_path(VERSION + "removed/$", api.RemovedView.as_view(), name="api-removed"),
    re_path(VERSION + "difference/$", versions_api.DifferenceView.as_view(), name="api-difference"),
    re_path(VERSION + "difference/rows/$", versions_api.DifferenceRowsView.as_view(), name="api-difference-rows"),
    re_path(VERSION + "lineage/$", versions_api.LineageView.as_view(), name="api-lineage"),
    path("projects/<slug:slug>/origins/", versions_api.OriginsView.as_view(), name="api-origins"),
    re_path(VERSION + r"files/(?P<filename>[\w.-]+)$", api.FileView.as_view(), name="api-file"),
    path("datasets/<slug:name>/tags/", versions_api.TagsView.as_view(), name="api-tags"),
    path("datasets/<slug:name>/tags/<str:tag>/", versions_api.TagView.as_view(), name="api-tag"),
    re_path(VERSION + "notes/$", versions_api.NotesView.as_view(), name="api-notes"),
    path("projects/<slug:slug>/rows/", rows_api.ProjectRowsView.as_view(), name="api-project-rows"),
    path("projects/<slug:slug>/withdrawals/", withdrawals_api.WithdrawalsView.as_view(), name="api-withdrawals"),
    path(
        "projects/<slug:slug>/withdrawals/preview/",
        withdrawals_api.WithdrawalPreviewView.as_view(),
        name="api-withdrawal-preview",
    ),
    path("projects/<slug:slug>/verbs/", api.VerbView.as_view(), name="api-verbs"),
    path("projects/<slug:slug>/agreement/", api.AgreementView.as_view(), name="api-agreement"),
    path("projects/<slug:slug>/judges/", api.JudgesView.as_view(), name="api-judges"),
    path(NOISE, noise_api.NoiseView.as_view(), name="api-noise"),
    path(NOISE + "preview/", noise_api.NoisePreviewView.as_view(), name="api-noise-preview"),
    path(NOISE + "treatments/", noise_api.TreatmentsView.as_view(), name="api-noise-treatments"),
    path(NOISE + "treatments/<int:pk>/undo/", noise_api.UndoTreatmentView.as_view(), name="api-noise-undo"),
    path(NOISE + "decisions/", noise_api.NoiseDecisionView.as_view(), name="api-noise-decisions"),
    path(ROUTING + "policies/", routing_api.PoliciesView.as_view(), name="api-policies"),
    path(ROUTING + "policies/<int:pk>/activate/", routing_api.ActivatePolicyView.as_view(), name="api-policy-activate"),
    path(ROUTING + "policies/<int:pk>/retire/", routing_api.RetirePolicyView.as_view(), name="api-policy-retire"),
    path(ROUTING + "decisions/", routing_api.DecisionsView.as_view(), name="api-decisions"),
    path(ROUTING + "decisions/<int:pk>/lift/", routing_api.LiftView.as_view(), name="api-decision-lift"),
    path(ROUTING + "budget/", routing_api.BudgetView.as_view(), name="api-budget"),
    path(ROUTING + "judges/", routing_api.JudgesOnTrialView.as_view(), name="api-judges-on-trial"),
    path(
        "projects/<slug:slug>/evaluation-sets/",
        evaluation_sets_api.EvaluationSetsView.as_view(),
        name="api-evaluation-sets",
    ),
    path(
        "projects/<slug:slug>/evaluation-sets/<slug:name>/",
        evaluation_sets_api.EvaluationSetView.as_view(),
        name="api-evaluation-set",
    ),
    path("projects/<slug:slug>/rubrics/", api.RubricsView.as_view(), name="api-rubrics"),
    path("projects/<slug:slug>/rubrics/<int:pk>/approve/", api.ApproveView.as_view(), name="api-rubric-approve"),
    path("", include(router.urls)),
]
