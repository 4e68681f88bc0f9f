"""What every backend is asked and answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from models_rt.records import Message, Usage

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Request:
    """One generation to make. `schema` is a JSON schema with a `title`, sent where the server can hold to it."""

    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None = None
    temperature: float = 0.0
    max_tokens: int = 1024
    seed: int | None = None

    @property
    def sha256(self) -> str:
        """Hash of the messages alone: what the model read."""
        return hashlib.sha256(json.dumps(self.messages, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Completion:
    """The text that came back. `model` is the name that the server gave itself; `truncated`: it hit a length limit."""

    text: str
    model: str
    usage: Usage
    truncated: bool = False


class BackendError(Exception):
    """No answer could be had. `permanent` says that asking again later cannot help."""

    def __init__(self, reason: str, *, permanent: bool, latency_ms: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent
        self.latency_ms = latency_ms


class Backend(Protocol):
    """A source of generated text."""

    @property
    def model(self) -> str:
        """The name of the model that is asked."""

    def complete(
        self, requests: Sequence[Request], *, concurrency: int = 16
    ) -> AsyncGenerator[tuple[int, Completion | BackendError], None]:
        """Yield (index of the request, its outcome) as each finishes, with at most `concurrency` in flight."""


async def as_finished(
    items: Sequence[Item], work: Callable[[Item], Awaitable[Result]], concurrency: int
) -> AsyncGenerator[tuple[int, Result], None]:
    """Yield (index, result) as each piece of work finishes; closing the iterator cancels what is in flight."""
    if concurrency < 1:
        raise ValueError(f"concurrency: expected at least 1, got {concurrency}")
    source = enumerate(items)
    results: asyncio.Queue[tuple[int, Result] | asyncio.Task[None]] = asyncio.Queue()

    async def worker() -> None:
        for index, item in source:
            results.put_nowait((index, await work(item)))

    workers = [asyncio.create_task(worker()) for _ in range(min(concurrency, len(items)))]
    for task in workers:
        task.add_done_callback(results.put_nowait)
    try:
        running = len(workers)
        while running:
            item = await results.get()
            if isinstance(item, asyncio.Task):
                item.result()  # raises what the worker raised
                running -= 1
            else:
                yield item
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
