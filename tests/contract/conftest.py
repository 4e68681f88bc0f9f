"""The stage of test_access, test_secrets and test_holes: made once a module, and flushed after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from tests.access import Stage, make_stage
from tiebreak.api.throttles import PerToken
from tiebreak.runs import store


@pytest.fixture(scope="module")
def stage(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Tests that use it need `django_db`: each is a transaction over what is here."""
    folder = tmp_path_factory.mktemp("store")
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "root", lambda: folder)
        patch.setattr(PerToken, "THROTTLE_RATES", {"token": None})  # one owner asks all that these modules ask
        made = make_stage()
        connection.close()
        with django_db_blocker.block():
            yield made
        call_command("flush", interactive=False, verbosity=0)
