from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from curation.scale import Dask, Engine


@pytest.fixture(scope="package")
def cluster() -> Iterator[Engine]:
    """Two worker processes of this machine."""
    from distributed import Client, LocalCluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own sockets, when the workers go
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local,
            Client(local) as client,
        ):
            assert len(client.scheduler_info()["workers"]) == 2
            yield Dask(client)
