"""The OpenAI-compatible client against a real server on 127.0.0.1 that behaves badly in every known way."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from models_rt.backends import BackendError, Completion, Request, get
from models_rt.backends.openai import OpenAIBackend, Prices, RetryPolicy, _retry_after

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ASK = Request(({"role": "user", "content": "hello"},))


def answer(text: str = "hi", **extra: Any) -> web.Response:
    usage = {"prompt_tokens": 1000, "completion_tokens": 500}
    body = {"model": "served", "choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}
    return web.json_response({**body, **extra})


class Call:
    """One batch against a server with the given handler: outcomes, the bodies received, the waits slept."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.waits: list[float] = []
        self.paths: list[str] = []

    def run(self, handler: Handler, requests: list[Request] | None = None, **settings: Any) -> list[Any]:
        return asyncio.run(self._run(handler, requests or [ASK], settings))

    async def _run(self, handler: Handler, requests: list[Request], settings: dict[str, Any]) -> list[Any]:
        async def record(request: web.Request) -> web.StreamResponse:
            self.paths.append(request.path)
            self.headers.append(dict(request.headers))
            if request.can_read_body:
                self.bodies.append(await request.json())
            return await handler(request)

        async def sleep(seconds: float) -> None:
            self.waits.append(seconds)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", record)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        concurrency = settings.pop("concurrency", 4)
        backend = OpenAIBackend(
            f"http://127.0.0.1:{port}/v1", "m", rng=random.Random(0), sleep=sleep, **{"timeout": 5.0, **settings}
        )
        try:
            found = [outcome async for outcome in backend.complete(requests, concurrency=concurrency)]
        finally:
            await runner.cleanup()
        return [outcome for _, outcome in sorted(found, key=lambda item: item[0])]


def sequence(*steps: Handler | web.Response) -> Handler:
    """Each request gets the next step; the last one stays."""
    left = list(steps)

    async def handler(request: web.Request) -> web.StreamResponse:
        step = left.pop(0) if len(left) > 1 else left[0]
        return await step(request) if callable(step) else step

    return handler


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def slow(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(0.5)
    return answer()


def failing(status: int, **headers: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="no", headers={k.replace("_", "-"): v for k, v in headers.items()})

    return handler


async def good(request: web.Request) -> web.StreamResponse:
    return answer()


def test_a_good_answer_gives_its_text_the_servers_model_name_and_its_price() -> None:
    # 1,000 tokens at 2 a million and 500 at 6 a million: 0.002 + 0.003 = 0.005.
    call = Call()
    [found] = call.run(good, prices=Prices(Decimal(2), Decimal(6)), api_key="k")
    assert isinstance(found, Completion)
    assert (found.text, found.model, found.usage.price) == ("hi", "served", Decimal("0.005"))
    assert call.paths == ["/v1/chat/completions"]
    assert call.headers[0]["Authorization"] == "Bearer k"


def test_the_schema_is_sent_as_response_format_unless_the_server_is_said_to_refuse_it() -> None:
    request = Request(ASK.messages, {"title": "t", "type": "object"})
    sent, plain = Call(), Call()
    sent.run(good, [request])
    plain.run(good, [request], structured=False)
    assert sent.bodies[0]["response_format"]["json_schema"]["name"] == "t"
    assert "response_format" not in plain.bodies[0]


@pytest.mark.parametrize("bad", [failing(500), failing(503), failing(429), reset], ids=["500", "503", "429", "reset"])
def test_what_may_pass_is_asked_again(bad: Handler) -> None:
    call = Call()
    [found] = call.run(sequence(bad, good))
    assert isinstance(found, Completion)
    assert len(call.paths) == 2
    assert len(call.waits) == 1
    assert 0 <= call.waits[0] <= 0.5  # full jitter under the first bound


def test_retry_after_is_honoured_to_the_second() -> None:
    call = Call()
    call.run(sequence(failing(429, Retry_After="7"), good))
    assert call.waits == [7.0]


def test_a_retry_after_beyond_the_limit_ends_the_asking_without_waiting() -> None:
    call = Call()
    [found] = call.run(failing(429, Retry_After="86400"))
    assert isinstance(found, BackendError)
    assert not found.permanent
    assert "86400 s" in found.reason
    assert call.waits == []


def test_a_retry_after_date_in_the_past_means_now_and_nonsense_means_nothing() -> None:
    assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert _retry_after("soon") is None


def test_tries_are_counted_and_then_it_gives_up_for_now() -> None:
    call = Call()
    [found] = call.run(failing(500), retry=RetryPolicy(tries=3))
    assert isinstance(found, BackendError)
    assert not found.permanent
    assert "HTTP 500" in found.reason
    assert "after 3 tries" in found.reason
    assert len(call.paths) == 3


@pytest.mark.parametrize("status", [400, 401, 404])
def test_what_cannot_pass_is_asked_once(status: int) -> None:
    call = Call()
    [found] = call.run(failing(status))
    assert isinstance(found, BackendError)
    assert found.permanent
    assert len(call.paths) == 1


def test_redirects_are_not_followed() -> None:
    call = Call()
    [found] = call.run(failing(302, Location="/elsewhere"))
    assert isinstance(found, BackendError)
    assert found.permanent
    assert call.paths == ["/v1/chat/completions"]


def test_a_slow_server_times_out_and_may_be_asked_again() -> None:
    call = Call()
    [found] = call.run(slow, timeout=0.1, retry=RetryPolicy(tries=1))
    assert isinstance(found, BackendError)
    assert not found.permanent
    assert "no answer within 0.1 s" in found.reason


@pytest.mark.parametrize("body", ["not json", "[]", '{"choices": []}', '{"choices": [{"message": 3}]}', "[" * 100_000])
def test_a_malformed_answer_is_asked_again_then_reported(body: str) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=body)

    call = Call()
    [found] = call.run(handler, retry=RetryPolicy(tries=2))
    assert isinstance(found, BackendError)
    assert "malformed answer" in found.reason
    assert len(call.paths) == 2


def test_an_answer_of_three_megabytes_is_refused_for_good() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return answer("x" * 3_000_000)

    [found] = Call().run(handler)
    assert isinstance(found, BackendError)
    assert found.permanent
    assert "larger than" in found.reason


def test_the_key_never_stands_in_an_error() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=401, text=f"bad key {request.headers['Authorization']}")

    [found] = Call().run(handler, api_key="sk-secret")
    assert isinstance(found, BackendError)
    assert "sk-secret" not in found.reason


def test_nul_and_lone_surrogates_become_replacement_characters() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=json.dumps({"choices": [{"message": {"content": "a\0b\ud800c"}}]}))

    [found] = Call().run(handler)
    assert isinstance(found, Completion)
    assert found.text == "a\ufffdb\ufffdc"


def test_no_more_than_the_given_number_are_in_flight_and_one_bad_request_spoils_no_other() -> None:
    flight = {"now": 0, "most": 0}

    async def handler(request: web.Request) -> web.StreamResponse:
        flight["now"] += 1
        flight["most"] = max(flight["most"], flight["now"])
        await asyncio.sleep(0.01)
        flight["now"] -= 1
        number = int((await request.json())["messages"][0]["content"])
        return web.Response(status=400) if number == 3 else answer(str(number))

    requests = [Request(({"role": "user", "content": str(n)},)) for n in range(12)]
    found = Call().run(handler, requests, concurrency=3)
    assert flight["most"] == 3
    assert [getattr(f, "text", None) for f in found] == [None if n == 3 else str(n) for n in range(12)]


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://user:pw@x/v1", "x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        OpenAIBackend(url, "m", rng=random.Random(0))


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="openai, scripted"):
        get("telepathy")
