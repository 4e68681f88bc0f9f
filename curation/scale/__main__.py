"""`python -m curation.scale FILES... --out FOLDER [--workers N | --scheduler ADDRESS]`: curate a version's Parquet.

`python -m curation.scale near FILES... --out FOLDER` finds what repeats in it; with `--by embedding`, in vectors.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from curation.scale import Dask, Engine, Here, curate, partitions, repeating, repeating_vectors
from curation.scale.repeating import COLUMNS
from curation.scale.repeating_vectors import COLUMN

BY: Final[Mapping[str, tuple[Callable[..., Mapping[str, Any]], tuple[str, ...]]]] = {
    "words": (repeating, ("columns", "words", "against")),
    "embedding": (repeating_vectors, ("column",)),
}
"""What rows are compared by: what does it, and the arguments that only it takes."""


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


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    told = _near(given[1:]) if given[:1] == ["near"] else _curate(given)
    print(json.dumps(told))
    return 0


def _curate(arguments: Sequence[str]) -> Mapping[str, Any]:
    parser = _parser(
        "python -m curation.scale", "Curates a version's Parquet files; `near` finds what repeats in them."
    )
    given = parser.parse_args(arguments)
    with engine_of(given.scheduler, given.workers) as engine:
        return curate(partitions(given.files, rows=given.rows), given.out, engine)


def _near(arguments: Sequence[str]) -> Mapping[str, Any]:
    parser = _parser("python -m curation.scale near", "Finds rows that repeat an earlier one, or an evaluation set.")
    parser.add_argument("--by", choices=BY, default="words", help="words, or embedding: by vectors; words")
    unsaid: Any = {"default": argparse.SUPPRESS}
    parser.add_argument(
        "--threshold", type=float, **unsaid, help="Jaccard similarity of runs of three words, 0.8; or cosine, 0.95"
    )
    parser.add_argument("--seed", type=int, **unsaid)
    parser.add_argument("--columns", type=_listed, **unsaid, help=f"with the texts; {','.join(COLUMNS)}")
    parser.add_argument("--words", type=int, **unsaid, help="in a row that an evaluation set may not share; 13")
    parser.add_argument(
        "--against", action="append", metavar="NAME=FILE", type=_named, **unsaid,
        help='an evaluation set: a text a line, or in .jsonl {"text": …}; may be given again',
    )  # fmt: skip
    parser.add_argument("--column", **unsaid, help=f"with the vectors, lists of floats; {COLUMN}")
    given = vars(parser.parse_args(arguments))
    find, own = BY[given["by"]]
    for by, (_, names) in BY.items():
        if odd := [name for name in names if name in given and by != given["by"]]:
            parser.error(f"argument --{odd[0]}: only with --by {by}")
    told = {name: given[name] for name in ("threshold", "seed", *own) if name in given}
    if "against" in told:
        told["against"] = dict(told["against"])
    with engine_of(given["scheduler"], given["workers"]) as engine:
        try:
            return find(partitions(given["files"], rows=given["rows"]), given["out"], engine, **told)
        except ValueError as error:
            parser.error(": ".join(map(str, error.args)))
        except OSError as error:
            parser.error(str(error))


def _listed(text: str) -> list[str]:
    return text.split(",")


def _named(text: str) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise argparse.ArgumentTypeError(f"expected NAME=FILE, got {text!r}")
    return name, file


def _parser(name: str, words: str) -> argparse.ArgumentParser:
    """With what both take."""
    parser = argparse.ArgumentParser(prog=name, description=words)
    parser.add_argument("files", nargs="+", help="Parquet files of a dataset version, as exported in the format native")
    parser.add_argument("--out", required=True, help="folder for the results, seen by every worker")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of a partition, about; default 1,000,000")
    parser.add_argument("--workers", type=int, default=0, help="so many processes of this machine; default: this one")
    parser.add_argument("--scheduler", help="address of a Dask scheduler, such as tcp://10.0.0.1:8786")
    return parser


if __name__ == "__main__":
    sys.exit(main())
