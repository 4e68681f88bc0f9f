"""The annotator's pages."""

from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("p/<slug:slug>/compare/", views.compare, name="compare"),
    path("p/<slug:slug>/compare/<int:pk>/", views.answer, name="answer"),
    path("p/<slug:slug>/compare/<int:pk>/skip/", views.skip, name="skip"),
    path("p/<slug:slug>/compare/<int:pk>/draft/", views.draft, name="draft"),
]
