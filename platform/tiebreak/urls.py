"""Every address of the product: pages, the API, health."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from tiebreak.accounts import language
from tiebreak.api.views import NoSuchAddress, TokenView
from tiebreak.runs import views as ops

handler500 = "tiebreak.api.problems.server_error"

urlpatterns = [
    path("sign-in/", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("sign-out/", auth.LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("language/", language.choose, name="language"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("api/v1/token/", TokenView.as_view(), name="api-token"),
    path("api/v1/", include("annotate.api_urls")),
    path("api/v1/", include("curation.api_urls")),
    re_path("^api/", NoSuchAddress.as_view()),
    path("healthz", ops.healthz),
    path("readyz", ops.readyz),
    path("metrics", ops.metrics),
    path("", include("annotate.urls")),
    path("", include("curation.urls")),
]
