"""The reward-model judge: a checkpoint's margin, read as a preference and a probability."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models_rt.records import Ask, Pair, Usage, Verdict

STRENGTH_FROM: Final = (0.70, 0.90)  # the preferred side's probability from which the strength is 2, and 3


class Scorer(Protocol):
    """What this judge needs of a reward model."""

    @property
    def name(self) -> str:
        """A name that changes with the weights."""

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Margins [n]: the reward of b minus the reward of a."""


class RewardModelJudge:
    """Judges by a reward model. The order shown cannot matter to it; equal margins are a tie."""

    def __init__(self, model: Scorer, *, batch_size: int = 256) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        self.model = model
        self.batch_size = batch_size

    async def judge(self, asks: Sequence[Ask]) -> AsyncGenerator[Verdict, None]:
        """Yield a verdict for each ask, a batch at a time; the scoring runs in a thread."""
        for start in range(0, len(asks), self.batch_size):
            batch = asks[start : start + self.batch_size]
            started = time.monotonic()
            margins = await asyncio.to_thread(self.model.score, [ask.pair for ask in batch])
            each = round((time.monotonic() - started) * 1000 / len(batch))
            for ask, margin in zip(batch, margins, strict=True):
                yield self._verdict(ask, float(margin), each)

    def _verdict(self, ask: Ask, margin: float, latency_ms: int) -> Verdict:
        finite = math.isfinite(margin)
        return Verdict(
            pair_id=ask.pair.id,
            order=ask.order,
            repeat=ask.repeat,
            status="parsed" if finite else "unparsed",
            preference=preference(margin) if finite else None,
            both_bad=False,
            probability_b=sigmoid(margin) if finite else None,
            critique="",
            raw=json.dumps({"margin": margin if finite else str(margin)}),
            reason="" if finite else "the margin is not a finite number",
            prompt_sha256=_sha256(ask.pair),
            model=self.model.name,
            usage=Usage(latency_ms=latency_ms),
        )


def sigmoid(margin: float) -> float:
    """The Bradley-Terry probability that b is better, from the margin b - a."""
    return 0.5 * (1.0 + math.tanh(0.5 * margin))


def preference(margin: float) -> int:
    """The margin as a preference: its sign, with a strength from the preferred side's probability."""
    probability = sigmoid(abs(margin))
    strength = 1 + sum(probability >= bound for bound in STRENGTH_FROM)
    return ((margin > 0) - (margin < 0)) * strength


def _sha256(pair: Pair) -> str:
    return hashlib.sha256(json.dumps([list(pair.prompt), pair.a, pair.b]).encode()).hexdigest()
