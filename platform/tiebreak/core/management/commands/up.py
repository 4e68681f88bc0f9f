from __future__ import annotations

import socket
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from tiebreak.core.supervise import Supervisor, commands


class Command(BaseCommand):
    help = "Runs everything on one machine: servers where no URL is set, migrations, web, worker and beat."
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default 127.0.0.1")
        parser.add_argument("--port", type=int, default=8000, help="default 8000")

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise CommandError(f"Nothing can listen on {host}:{port} ({error.strerror}); try --port.") from None
        call_command("migrate", verbosity=0)
        wanted = commands(host=host, port=port, data_dir=settings.ENV.data_dir)
        supervisor = Supervisor(wanted, say=self.stderr.write, cwd=settings.BASE_DIR)
        supervisor.watch()
        supervisor.start()
        self.stdout.write(f"Tiebreak serves at http://{host}:{port}/  (Ctrl+C stops it)")
        self.stdout.write("No account yet? manage.py create_user NAME --project SLUG --role owner")
        self.stdout.flush()
        supervisor.run()
