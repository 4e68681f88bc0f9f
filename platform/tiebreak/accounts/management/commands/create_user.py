from __future__ import annotations

import getpass
import secrets
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from tiebreak.accounts.models import Membership, Project, User
from tiebreak.accounts.roles import Role
from tiebreak.core.models import record


class Command(BaseCommand):
    help = "Makes an account (or finds it) and gives it a role in a project; prints a password where it made one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--project", help="slug of the project to join")
        parser.add_argument("--role", choices=Role.values, default=Role.ANNOTATOR)
        parser.add_argument("--ask", action="store_true", help="ask for the password instead of making one")
        parser.add_argument("--admin", action="store_true", help="may also use /admin/")

    def handle(
        self, *args: Any, name: str, project: str | None, role: str, ask: bool, admin: bool, **options: Any
    ) -> None:
        joined = Project.objects.filter(slug=project).first() if project else None
        if project and joined is None:
            raise CommandError(f"There is no project {project!r}; import_comparisons --create makes one.")
        user = User.objects.filter(username=name).first()
        password = ""
        with transaction.atomic():
            if user is None:
                password = getpass.getpass() if ask and sys.stdin.isatty() else secrets.token_urlsafe(12)
                user = User.objects.create_user(name, password=password, is_staff=admin, is_superuser=admin)
                record("user.created", user, admin=admin)
            if joined is not None:
                Membership.objects.update_or_create(project=joined, user=user, defaults={"role": role})
                record("member.set", user, project=joined, role=role)
        self.stdout.write(f"{name}: {f'password {password}' if password and not ask else 'kept its password'}")
        if joined is not None:
            self.stdout.write(f"{name} is {role} of {joined.slug}")
