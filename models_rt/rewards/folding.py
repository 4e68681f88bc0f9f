"""Folds that keep groups whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models_rt.seeds import numpy_rng

from .config import TrainConfig


def folds(groups: Sequence[str], config: TrainConfig) -> NDArray[np.int64]:
    """A fold for each row [n]: groups are shuffled by the seed and dealt out whole."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    order = numpy_rng(config.seed, "folds").permutation(len(names))
    return (order % min(config.inner_folds, len(names)))[index]
