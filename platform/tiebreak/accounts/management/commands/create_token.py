from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tiebreak.accounts.models import Project, Scope, User
from tiebreak.accounts.services import create_token
from tiebreak.core.errors import Invalid, NotFound


class Command(BaseCommand):
    help = "Makes a token for REST and prints it, once: it is kept as a hash."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="whose it is; it may do no more than they may")
        parser.add_argument("--scope", action="append", choices=Scope.values, required=True, help="may be given again")
        parser.add_argument("--project", help="slug of the only project that it is for; default: all of the user's")
        parser.add_argument("--name", default="from the command line", help="by which /tokens/ lists it")
        parser.add_argument("--days", type=int, default=90, help="until it ends; default 90")
        parser.add_argument("--json", action="store_true", help="print one machine-readable object last")

    def handle(
        self, *args: Any, user: str, scope: list[str], project: str | None, name: str, days: int, **options: Any
    ) -> None:
        owner = User.objects.filter(username=user, is_active=True).first()
        if owner is None:
            raise CommandError(f"user: nobody here is called {user!r}; create_user makes an account.")
        only = Project.objects.filter(slug=project).first() if project else None
        if project and only is None:
            raise CommandError(f"There is no project {project!r}.")
        try:
            token, secret = create_token(owner, name, scope, days=days, project=only)
        except (Invalid, NotFound) as error:
            raise CommandError(str(error)) from None
        told = {"token": secret, "user": user, "project": project, "scopes": token.scopes}
        told["expires_at"] = token.expires_at.isoformat()
        self.stdout.write(json.dumps(told) if options["json"] else secret)
