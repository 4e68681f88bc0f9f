"""`python -m curation.scale FILES... --out FOLDER [--workers N | --scheduler ADDRESS]`: curate a version's Parquet."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from curation.scale import Dask, Engine, Here, curate, partitions


@contextmanager
def engine_of(scheduler: str | None, workers: int) -> Iterator[Engine]:
    """A cluster's scheduler, worker processes of this machine, or this process alone."""
    if not scheduler and not workers:
        yield Here()
        return
    try:
        import distributed
    except ImportError:
        raise SystemExit("A cluster needs Dask: pip install 'tiebreak[scale]'") from None
    dask: Any = distributed  # which is not typed
    if scheduler:
        with dask.Client(scheduler) as client:
            yield Dask(client)
        return
    local = dask.LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None)
    with local as cluster, dask.Client(cluster) as client:
        yield Dask(client)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m curation.scale", description="Curates a version's Parquet files.")
    parser.add_argument("files", nargs="+", help="Parquet files of a dataset version, as exported in the format native")
    parser.add_argument("--out", required=True, help="folder for the results, seen by every worker")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of a partition, about; default 1,000,000")
    parser.add_argument("--workers", type=int, default=0, help="so many processes of this machine; default: this one")
    parser.add_argument("--scheduler", help="address of a Dask scheduler, such as tcp://10.0.0.1:8786")
    given = parser.parse_args()
    with engine_of(given.scheduler, given.workers) as engine:
        result = curate(partitions(given.files, rows=given.rows), given.out, engine)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
