from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from annotate.models import Judge
from tiebreak.core.egress import Allowed, check_url
from tiebreak.core.errors import Invalid
from tiebreak.runs import health
from tiebreak.runs.health import Check


class Command(BaseCommand):
    help = "Checks servers, extensions, migrations, workers, disk, clock, secrets and judges, and says what to do."
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one machine-readable object last")

    def handle(self, *args: Any, **options: Any) -> None:
        checks = [*health.run_checks(), judges()]
        for check in () if options["json"] else checks:
            mark = self.style.SUCCESS("ok  ") if check.ok else self.style.ERROR("FAIL")
            self.stdout.write(f"{mark} {check.name:<11} {check.found}{'' if check.ok else '  →  ' + check.do}")
        if options["json"]:
            self.stdout.write(json.dumps({"checks": [check._asdict() for check in checks]}))
        failed = [check.name for check in checks if not check.ok]
        if failed:
            raise CommandError(f"not well: {', '.join(failed)}", returncode=1)


def judges() -> Check:
    """Whether this machine's workers could call every judge in use. Nothing is sent to any of them."""
    try:
        found = list(Judge.objects.filter(retired_at=None, backend="openai").order_by("project", "name", "-version"))
    except DatabaseError as error:
        return Check("judges", False, str(error).splitlines()[0], "Mend the database first.")
    latest = {(judge.project_id, judge.name): judge for judge in reversed(found)}.values()
    for judge in latest:
        try:
            check_url(judge.base_url, Allowed(settings.ENV.egress_allow), field="base_url")
        except Invalid as error:
            return Check(
                "judges", False, f"{judge}: {error.message}", "List it in TIEBREAK_EGRESS_ALLOW if you mean it."
            )
        if judge.api_key_env and not os.environ.get(judge.api_key_env):
            do = f"Set {judge.api_key_env} where the worker starts, or give the judge another variable."
            return Check("judges", False, f"{judge}: {judge.api_key_env} is not set", do)
    return Check("judges", True, f"{len(latest)} that are called over HTTP", "")
