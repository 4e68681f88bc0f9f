"""Parquet on standard input becomes JSON Lines on standard output: a process of its own, with a limit on its memory.

A Parquet file of 100 KB may hold 1 GB, and its own figures need not say so: whatever it does, it does it here. Run by
path, with nothing of ours imported: `python unpack_parquet.py BYTES < in.parquet > out.jsonl`.
"""

from __future__ import annotations

import json
import resource
import sys

ROWS = 256  # decoded at once


def main(most: int) -> int:
    """Exit status 0, or 1 with a reason as the last line of standard error."""
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    import pyarrow as arrow
    import pyarrow.parquet

    try:
        table = arrow.parquet.ParquetFile(sys.stdin.buffer, pre_buffer=False)
        for batch in table.iter_batches(batch_size=ROWS, use_threads=False):
            for row in batch.to_pylist():
                sys.stdout.write(json.dumps(row, default=_told) + "\n")
    except BrokenPipeError:
        return 1
    except (MemoryError, arrow.ArrowMemoryError):
        print(f"{ROWS} rows take more than {most:,} bytes", file=sys.stderr)
        return 1
    except (arrow.ArrowException, OSError) as error:
        print(str(error).replace("\n", " ")[:300], file=sys.stderr)
        return 1
    return 0


def _told(value: object) -> str:
    """Times in ISO 8601; of other values their type, which the row's parser then refuses by name."""
    return value.isoformat() if hasattr(value, "isoformat") else f"<{type(value).__name__}>"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
