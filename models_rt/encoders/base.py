"""What every encoder gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Progress = Callable[[int, int], None]  # done, total


class Encoder(Protocol):
    """Embeds texts without being trained."""

    @property
    def fingerprint(self) -> str:
        """Changes with everything that changes a vector: weights, tokenizer, pooling, length limit."""

    @property
    def dimension(self) -> int:
        """The length of one vector."""

    def encode(
        self, texts: Sequence[str], *, batch_size: int = 64, device: str = "cpu", progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Vectors [n, d], in the order of the texts."""

    def truncated(self, texts: Sequence[str]) -> int:
        """How many of the texts are longer than the encoder reads."""
