"""The texts of a pair cut out of its native line unread, for formats that send them on as they are.

Keys come in one order, and inside a text of JSON a quote stands behind a backslash: `,"chosen":` in a line is the key
and nothing else. What is cut is what reading and writing again would give, byte by byte (a test holds it to that), at a
fraction of the time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_KEYS: Final = (b',"prompt":', b',"chosen":', b',"rejected":', b',"chosen_side":')


class Pieces(NamedTuple):
    """Each a list of messages as JSON."""

    prompt: bytes
    chosen: bytes
    rejected: bytes


def pieces(line: bytes) -> Pieces:
    """Of a native line of a pair. Raises ValueError where it is none."""
    rest, cut = line, []
    for key in _KEYS:
        before, found, rest = rest.partition(key)
        if not found:
            raise ValueError("line", f"a pair with {key.decode()}", line[:60])
        cut.append(before)
    return Pieces(*cut[1:])
