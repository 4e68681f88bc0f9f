"""The texts of a pair cut out of its native line unread, for formats that send them on as they are.

Keys come in one order, and inside a text of JSON a quote stands behind a backslash: `,"chosen":` in a line is the key
and nothing else. What is cut is what reading and writing again would give, byte by byte (a test holds it to that), at a
fraction of the time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_PROMPT: Final = b',"prompt":'
_CHOSEN: Final = b',"chosen":'
_REJECTED: Final = b',"rejected":'
_END: Final = b',"chosen_side":'


class Pieces(NamedTuple):
    """Each a list of messages as JSON."""

    prompt: bytes
    chosen: bytes
    rejected: bytes


def pieces(line: bytes) -> Pieces:
    """Of a native line of a pair. Raises ValueError where it is none."""
    prompt = line.find(_PROMPT)
    chosen = line.find(_CHOSEN, prompt)
    rejected = line.find(_REJECTED, chosen)
    end = line.find(_END, rejected)  # from a key that is not there, none is found
    if end < 0:
        raise ValueError("line", "a pair: prompt, chosen, rejected, chosen_side", line[:60])
    return Pieces(
        line[prompt + len(_PROMPT) : chosen],
        line[chosen + len(_CHOSEN) : rejected],
        line[rejected + len(_REJECTED) : end],
    )
