"""The Celery application: `celery -A tiebreak worker -Q default,judge`. Tasks carry ids; the database is the truth."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tiebreak.settings")

app = Celery("tiebreak")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["tiebreak.runs", "annotate", "curation"])


@worker_ready.connect
def _first_round(sender: Any, **kwargs: Any) -> None:
    """A worker that starts does the reaper's round at once: it makes itself known, and finds what waits."""
    with sender.app.connection_for_write() as connection:
        sender.app.send_task("runs.reap", connection=connection, queue="default")
