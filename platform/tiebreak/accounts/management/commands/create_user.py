from __future__ import annotations

import getpass
import json
import secrets
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
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
        parser.add_argument("--role", choices=Role.values, help=f"in the project; default {Role.ANNOTATOR}")
        parser.add_argument("--ask", action="store_true", help="ask for the password instead of making one")
        parser.add_argument("--admin", action="store_true", help="may also use /admin/ and read /metrics")
        parser.add_argument("--json", action="store_true", help="print one machine-readable object last")

    def handle(
        self, *args: Any, name: str, project: str | None, role: str | None, ask: bool, admin: bool, **options: Any
    ) -> None:
        if role and not project:
            raise CommandError("--role needs the --project that it is a role in.", returncode=2)
        if ask and not sys.stdin.isatty():
            raise CommandError("--ask needs a terminal to ask at; without it a password is made.", returncode=2)
        joined = Project.objects.filter(slug=project).first() if project else None
        if project and joined is None:
            raise CommandError(f"There is no project {project!r}; import_comparisons --create makes one.")
        user = User.objects.filter(username=name).first()
        password = None if user else getpass.getpass() if ask else secrets.token_urlsafe(12)
        with transaction.atomic():
            if user is None:
                user = _made(name, password or "", admin=admin)
            elif admin and not user.is_superuser:
                User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
                record("user.promoted", user)
            if joined is not None:
                role = role or Role.ANNOTATOR
                Membership.objects.update_or_create(project=joined, user=user, defaults={"role": role})
                record("member.role_set", user, project=joined, user=user.pk, after=role)
        told = {
            "user": name,
            "password": None if ask else password,
            "project": project,
            "role": role if joined else None,
        }
        if options["json"]:
            self.stdout.write(json.dumps(told))
            return
        self.stdout.write(f"{name}: password {password}" if told["password"] else f"{name}: has its password")
        if joined is not None:
            self.stdout.write(f"{name} is {role} of {joined.slug}")


def _made(name: str, password: str, *, admin: bool) -> User:
    user = User(username=name, is_staff=admin, is_superuser=admin)
    user.set_password(password)
    try:
        user.clean_fields(exclude=["password"])
    except ValidationError as error:
        raise CommandError(f"name: {error.message_dict['username'][0]} (got {name!r})") from None
    user.save()
    record("user.created", user, admin=admin)
    return user
