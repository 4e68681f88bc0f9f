"""Seeds derived from one number, so that each use of chance has its own stream and none touches a global one."""

from __future__ import annotations

import hashlib
import random

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the named use: the same arguments always give the same number."""
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_rng(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator for the named use."""
    return np.random.default_rng(derive(seed, *names))


def python_rng(seed: int, *names: str | int) -> random.Random:
    """A standard-library generator for the named use (jitter, not secrets)."""
    return random.Random(derive(seed, *names))  # noqa: S311
