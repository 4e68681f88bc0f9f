"""A feature cache on disk, addressed by content: no vector is computed twice, by whichever process."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .base import Encoder, Progress


class FeatureCache:
    """One small file a text, named by SHA-256 of the encoder's fingerprint and the text.

    Writers rename a finished file into place, so concurrent ones never see or leave half a vector. A file of another
    size than expected is treated as absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def encode(
        self,
        encoder: Encoder,
        texts: Sequence[str],
        *,
        batch_size: int = 64,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """Vectors [n, d]; only the distinct texts that the cache lacks are encoded."""
        paths = {text: self._path(encoder, text) for text in dict.fromkeys(texts)}
        known = {text: self._read(path, encoder.dimension) for text, path in paths.items()}
        missing = [text for text, vector in known.items() if vector is None]
        if missing:
            fresh = encoder.encode(missing, batch_size=batch_size, device=device, progress=progress)
            for text, vector in zip(missing, fresh, strict=True):
                self._write(paths[text], vector)
                known[text] = vector
        return np.array([known[text] for text in texts], np.float32).reshape(len(texts), encoder.dimension)

    def _path(self, encoder: Encoder, text: str) -> Path:
        key = hashlib.sha256(f"{encoder.fingerprint}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()
        return self.folder / key[:2] / f"{key}.f32"

    def _read(self, path: Path, dimension: int) -> NDArray[np.float32] | None:
        try:
            vector = np.fromfile(path, np.float32)
        except FileNotFoundError:
            return None
        return vector if vector.shape == (dimension,) else None

    def _write(self, path: Path, vector: NDArray[np.float32]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(vector.tobytes())
        os.replace(name, path)
