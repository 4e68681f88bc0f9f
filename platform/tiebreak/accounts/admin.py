"""The admin: looking things up, and keeping the list of people. Everything else is written by services."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from .models import ApiToken, Membership, Project, User


class Unwritten:
    """What only services write: here it can be found and read, and nothing else."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LookOnly(Unwritten, admin.ModelAdmin[Any]):
    show_full_result_count = False  # a count of millions for a number nobody needs
    list_per_page = 50


class LookOnlyRows(Unwritten, admin.TabularInline[Any, Any]):
    extra = 0


@admin.register(User)
class People(UserAdmin[User]):
    """Who is there keeps their username: pseudonyms in published versions are made of it, and a withdrawal finds what
    somebody said by it."""

    list_display = ("username", "email", "is_active", "is_staff", "last_login")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        return [*super().get_readonly_fields(request, obj), *(["username"] if obj else [])]


class Members(LookOnlyRows):
    model = Membership


@admin.register(Project)
class Projects(LookOnly):
    list_display = ("slug", "name", "created_at", "archived_at")
    search_fields = ("slug", "name")
    inlines = (Members,)


@admin.register(ApiToken)
class Tokens(LookOnly):
    list_display = ("prefix", "name", "user", "project", "scopes", "expires_at", "revoked_at", "last_used_at")
    list_select_related = ("user", "project")
    search_fields = ("prefix", "name", "user__username")
    exclude = ("digest",)
