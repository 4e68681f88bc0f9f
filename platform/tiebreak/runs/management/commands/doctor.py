from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tiebreak.runs import health


class Command(BaseCommand):
    help = "Checks servers, extensions, migrations, workers, disk, clock and secrets, and says what to do."
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        checks = list(health.run_checks())
        for check in () if options["json"] else checks:
            mark = self.style.SUCCESS("ok  ") if check.ok else self.style.ERROR("FAIL")
            self.stdout.write(f"{mark} {check.name:<11} {check.found}{'' if check.ok else '  →  ' + check.do}")
        if options["json"]:
            self.stdout.write(json.dumps({"checks": [check._asdict() for check in checks]}))
        failed = [check.name for check in checks if not check.ok]
        if failed:
            raise CommandError(f"not well: {', '.join(failed)}", returncode=1)
