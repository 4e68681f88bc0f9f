"""The settings of a test run: the product's own, over embedded servers in a directory that this run makes and removes.

The environment is set before tiebreak.settings reads it; conftest.py would be too late, since pytest-django loads
settings first. Processes that tests start inherit it, and so share the servers; a worker of pytest-xdist has its own.
"""

import os
import tempfile

worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if "TIEBREAK_TEST_DATA" not in os.environ or os.environ.get("TIEBREAK_TEST_WORKER", "") != worker:
    os.environ["TIEBREAK_TEST_DATA"] = tempfile.mkdtemp(prefix="tiebreak-test-")
    os.environ["TIEBREAK_TEST_OWNER"] = str(os.getpid())
    os.environ["TIEBREAK_TEST_WORKER"] = worker
os.environ["TIEBREAK_DATA"] = os.environ["TIEBREAK_TEST_DATA"]
for variable in ("DATABASE_URL", "REDIS_URL"):
    if f"TIEBREAK_TEST_{variable}" in os.environ:  # tests on servers of one's own, on purpose only
        os.environ[variable] = os.environ[f"TIEBREAK_TEST_{variable}"]
    else:
        os.environ.pop(variable, None)
os.environ["SECRET_KEY"] = "only-for-tests-" + "x" * 40
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests share the cores with each other
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # playwright's loop runs in the test's thread

from tiebreak.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # hashing for real takes most of a test's time
