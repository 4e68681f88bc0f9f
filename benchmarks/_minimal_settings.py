"""The product's own settings, with the minimal views of `_minimal.py` beside its pages: both run in the same processes
and behind the same middleware. The throttle still counts, but its limit is out of reach: a benchmark is no client.
"""

from tiebreak.settings import *  # noqa: F403
from tiebreak.settings import REST_FRAMEWORK

ROOT_URLCONF = "_minimal"
REST_FRAMEWORK = {**REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": {"token": "1000000000/min"}}
