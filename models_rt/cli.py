"""The command line: train, score, evaluate and judge, from files to files. Exit 0 done, 1 failed, 2 misuse."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models_rt import backends, benchmarks, files, judges
from models_rt.records import Ask, Order
from models_rt.rewards import config as configs
from models_rt.seeds import python_rng


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; prints its figures, with `--json` one object last. argparse exits 2 on misuse."""
    options = parser().parse_args(arguments)
    try:
        figures = options.run(options)
    except (ValueError, OSError) as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(figures, ensure_ascii=False))
    else:
        for name, value in figures.items():
            print(f"{name}: {json.dumps(value, ensure_ascii=False)}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The four commands and their options."""
    root = argparse.ArgumentParser(prog="python -m models_rt", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True)

    train = _command(commands, "train", _train, "Train a reward model from a version's folder or file.")
    train.add_argument("data", type=Path, help="folder of <split>.parquet or .jsonl, or one file")
    train.add_argument("--to", type=Path, required=True, help="folder of the new model")
    train.add_argument("--config", type=Path, help="TOML file")
    train.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="over the config; repeatable")
    train.add_argument("--cache", type=Path, help="folder of the feature cache")

    score = _command(commands, "score", _score, "Score pairs: JSON Lines in, JSON Lines with margins out.")
    _model(score)
    score.add_argument("pairs", type=Path)
    score.add_argument("--to", type=Path, required=True)

    evaluate = _command(commands, "evaluate", _evaluate, "Evaluate a reward model on a benchmark or a version.")
    _model(evaluate)
    evaluate.add_argument("data", type=Path)
    evaluate.add_argument("--benchmark", help=f"one of {', '.join(benchmarks.BENCHMARKS)}; without it, a version")
    evaluate.add_argument("--split", default="test")

    judge = _command(commands, "judge", _judge, "Judge pairs: JSON Lines in, verdicts as JSON Lines out.")
    judge.add_argument("pairs", type=Path)
    judge.add_argument("--to", type=Path, required=True)
    judge.add_argument("--kind", default="pairwise", help=f"one of {', '.join(judges.JUDGES)}")
    judge.add_argument("--backend", default="openai", help=f"one of {', '.join(backends.BACKENDS)}")
    judge.add_argument("--base-url", help="as in http://127.0.0.1:8000/v1")
    judge.add_argument("--model", help="the server's model, or the folder of a reward model")
    judge.add_argument("--api-key-env", default="OPENAI_API_KEY", help="environment variable that holds the key")
    judge.add_argument("--orders", default="ab,ba", help="ab, ba or both with a comma")
    judge.add_argument("--repeats", type=int, default=1)
    judge.add_argument("--temperature", type=float, default=0.0)
    judge.add_argument("--max-tokens", type=int, default=1024)
    judge.add_argument("--concurrency", type=int, default=16)
    judge.add_argument("--seed", type=int, default=0)
    return root


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.add_argument("--json", action="store_true", help="print one JSON object last")
    command.set_defaults(run=run)
    return command


def _model(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", type=Path, help="folder of a reward model")
    command.add_argument("--device", default="cpu")
    command.add_argument("--cache", type=Path)
    command.add_argument("--allow-download", action="store_true", help="ask the hub for an encoder that is not here")


def _train(options: argparse.Namespace) -> dict[str, Any]:
    from models_rt.rewards.evaluation import evaluate
    from models_rt.rewards.training import train

    config = configs.load(options.config, options.set)
    rows = files.version_rows(options.data)
    result = train(rows, config, cache=options.cache)
    result.model.save(options.to)
    evaluation = evaluate(result.model, rows, seed=config.seed).as_dict()
    (options.to / "evaluation.json").write_text(json.dumps(evaluation, indent=2) + "\n", encoding="utf-8")
    return {"model": str(options.to), "name": result.model.name, **result.model.facts, "evaluation": evaluation}


def _score(options: argparse.Namespace) -> dict[str, Any]:
    from models_rt.judges.scoring import sigmoid

    pairs = files.pairs_of(options.pairs)
    margins = [float(m) for m in _load(options).score(pairs)]
    files.write_lines(
        options.to,
        [{"id": p.id, "margin": m, "probability_b": sigmoid(m)} for p, m in zip(pairs, margins, strict=True)],
    )
    return {"scored": len(pairs), "to": str(options.to)}


def _evaluate(options: argparse.Namespace) -> dict[str, Any]:
    from models_rt.rewards.evaluation import evaluate

    name, path = options.benchmark, options.data
    rows = benchmarks.read(name, path) if name else files.version_rows(path)
    return evaluate(_load(options), rows, split=options.split).as_dict()


def _load(options: argparse.Namespace) -> Any:
    from models_rt.rewards.model import load

    return load(options.model, device=options.device, cache=options.cache, allow_download=options.allow_download)


def _judge(options: argparse.Namespace) -> dict[str, Any]:
    if options.repeats < 1:
        raise ValueError(f"repeats: expected at least 1, got {options.repeats}")
    judge = _make_judge(options)
    pairs = files.pairs_of(options.pairs)
    asks = [
        Ask(p, order, repeat) for p in pairs for order in _orders(options.orders) for repeat in range(options.repeats)
    ]
    return asyncio.run(_write_verdicts(judge, asks, options.to))


async def _write_verdicts(judge: judges.Judge, asks: Sequence[Ask], path: Path) -> dict[str, Any]:
    """Write each verdict as it comes, so that a stopped run loses nothing that it had."""
    counts = {"parsed": 0, "unparsed": 0, "failed": 0}
    with path.open("w", encoding="utf-8") as file:
        async for verdict in judge.judge(asks):
            counts[verdict.status] += 1
            file.write(json.dumps(files.verdict_dict(verdict), ensure_ascii=False) + "\n")
            file.flush()
    return {"asked": len(asks), **counts, "to": str(path)}


def _make_judge(options: argparse.Namespace) -> judges.Judge:
    kind = judges.get(options.kind)
    if options.kind == "reward-model":
        from models_rt.rewards.model import load

        if not options.model:
            raise ValueError("--model: expected the folder of a reward model")
        judge: judges.Judge = kind(load(Path(options.model)))
        return judge
    settings = {n: getattr(options, n) for n in ("concurrency", "temperature", "max_tokens")}
    made: judges.Judge = kind(_make_backend(options), **settings)
    return made


def _make_backend(options: argparse.Namespace) -> backends.Backend:
    backend = backends.get(options.backend)
    if options.backend == "scripted":
        scripted: backends.Backend = backend(seed=options.seed)
        return scripted
    if not options.base_url or not options.model:
        raise ValueError("--base-url, --model: expected both for this backend")
    key = os.environ.get(options.api_key_env)
    rng = python_rng(options.seed, "jitter")
    made: backends.Backend = backend(options.base_url, options.model, api_key=key, rng=rng)
    return made


def _orders(text: str) -> list[Order]:
    known: dict[str, Order] = {"ab": "ab", "ba": "ba"}
    names = text.split(",")
    if any(name not in known for name in names) or len(set(names)) != len(names):
        raise ValueError(f"orders: expected ab, ba or ab,ba, got {text!r}")
    return [known[name] for name in names]
