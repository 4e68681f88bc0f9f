"""The feature cache under several processes that write the same texts at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from models_rt.encoders.cache import FeatureCache

ROOT: Final = Path(__file__).parents[2]
TEXTS: Final = [f"text {i}" for i in range(400)]

# Waits for a line, so that both start together; prints how many texts it had to encode itself.
WRITER: Final = """
import sys
from pathlib import Path
import numpy as np
from models_rt.encoders.cache import FeatureCache
from tests.models_rt.test_cache import Hashing, TEXTS

encoder, cache = Hashing(), FeatureCache(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for start in range(0, len(TEXTS), 8):
    some = TEXTS[start : start + 8]
    assert np.array_equal(cache.encode(encoder, some), Hashing().encode(some)), start
print(encoder.seen)
"""


class Hashing:
    """A vector of 384 numbers for a text, the same in every process."""

    fingerprint, dimension = "hashing", 384

    def __init__(self) -> None:
        self.seen = 0

    def encode(self, texts: Sequence[str], **_: Any) -> np.ndarray:
        self.seen += len(texts)
        seeds = [int.from_bytes(sha256(text.encode()).digest()[:8], "big") for text in texts]
        return np.array([np.random.default_rng(seed).random(self.dimension) for seed in seeds], np.float32)

    def truncated(self, texts: Sequence[str]) -> int:
        return 0


def test_two_processes_that_write_the_same_texts_leave_every_vector_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    pipe = subprocess.PIPE
    writers = [subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    said = [writer.communicate(timeout=60) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], said
    encoded = [int(out) for out, _ in said]
    assert len(TEXTS) <= sum(encoded) <= 2 * len(TEXTS)  # whoever comes second may find the vector there
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == len(TEXTS)  # nothing half-written is left beside them
    reader = Hashing()
    np.testing.assert_array_equal(FeatureCache(tmp_path).encode(reader, TEXTS), Hashing().encode(TEXTS))
    assert reader.seen == 0
