"""Where the functions of partitions are called: here, or on the workers of a Dask cluster, next to their data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Engine(Protocol):
    """Calls a function for each partition and leaves the results where they were made, until they are asked for."""

    def each(self, function: Callable[..., Any], *held: Sequence[Any], told: tuple[Any, ...] = ()) -> list[Any]:
        """``function(*parts, *told)`` for the parts of every partition in turn: handles of the results.

        ``held`` are handles that `each` returned, or plain values, one for each partition; ``told`` goes to all.
        """

    def bring(self, handles: Sequence[Any]) -> list[Any]:
        """The results themselves."""


class Here:
    """This process."""

    def each(self, function: Callable[..., Any], *held: Sequence[Any], told: tuple[Any, ...] = ()) -> list[Any]:
        return [function(*parts, *told) for parts in zip(*held, strict=True)]

    def bring(self, handles: Sequence[Any]) -> list[Any]:
        return list(handles)


class Dask:
    """A `distributed.Client`: results stay in the memory of the worker that made them, and what uses them follows."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def each(self, function: Callable[..., Any], *held: Sequence[Any], told: tuple[Any, ...] = ()) -> list[Any]:
        return [self.client.submit(function, *parts, *told, pure=False) for parts in zip(*held, strict=True)]

    def bring(self, handles: Sequence[Any]) -> list[Any]:
        return list(self.client.gather(list(handles)))
