"""`tiebreak login|status|pull|push|verify`. Exit status: 0 done, 1 failed with a reason, 2 misuse."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tiebreak import __version__

from . import Client, ClientError, logins, verify
from .pushing import FIGURES, taken


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    try:
        result = options.does(options)
    except ClientError as error:
        if options.json:
            print(json.dumps({"error": {**error.params, "code": error.code, "message": error.message}}))
        print(error.message, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; what came is kept, the same command goes on.", file=sys.stderr)
        return 1
    print(json.dumps(result) if options.json else options.tells(result))
    if result.get("rejected") and not taken(result):
        print("Every row was refused.", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tiebreak", description="Preference datasets, pulled and pushed.")
    parser.add_argument("--version", action="version", version=f"tiebreak {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one machine-readable object last")
    common.add_argument("--server", metavar="URL", help="instead of the last one that you logged in to")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, does: Any, tells: Any, about: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=about, description=about, parents=[common])
        made.set_defaults(does=does, tells=tells)
        return made

    login = verb("login", _login, _tell_login, "Check a token and keep it for this user.")
    login.add_argument("url", metavar="URL")
    login.add_argument("--plain-http", action="store_true", help="send the token without TLS, on a network of your own")
    verb("status", _status, _tell_status, "Who you are on which server, and what you can read.")
    pull = verb("pull", _pull, _tell_pull, "Bring a version into a folder, proved by its hashes.")
    pull.add_argument("version", metavar="NAME[@N|@TAG|@latest]")
    pull.add_argument("--to", metavar="DIR", type=Path, required=True)
    pull.add_argument("--format", default="parquet", metavar="F", help="parquet (default), native, trl, kto, …")
    pull.add_argument("--split", action="append", default=[], metavar="S", help="may be given again; default: all")
    pull.add_argument("--since", metavar="M", help="only what a copy of version M lacks, and the ids that it must lose")
    pull.add_argument("--undecided", action="store_true", help="and the ties and both-bad rows that the recipe kept")
    pull.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="for a version that is being built")
    push = verb("push", _push, _tell_push, "Import a file's rows into a project.")
    push.add_argument("project", metavar="PROJECT")
    push.add_argument("file", metavar="FILE", type=Path, help="JSON Lines, CSV or Parquet, gzipped or not")
    push.add_argument("--format", default="rows", metavar="F", help="rows (default), trl, hh-rlhf, …")
    push.add_argument("--rejects", type=Path, metavar="FILE", help="default: FILE.rejects.jsonl")
    check = verb("verify", _verify, _tell_verify, "Hold a folder against its manifest.")
    check.add_argument("folder", metavar="DIR", type=Path)
    return parser


def _client(options: argparse.Namespace) -> Client:
    return Client(options.server, progress=sys.stderr.isatty() and not options.json)


def _login(options: argparse.Namespace) -> dict[str, Any]:
    url = logins.address(options.url, plain=options.plain_http)
    token = os.environ.get("TIEBREAK_TOKEN") or _asked()
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise ClientError("That is no token: expected tbk_… as the page Tokens shows it once.", code="wrong_token")
    with Client(url, token) as client:
        told = client.status()
    try:
        kept = logins.keep(logins.Login(url, token))
    except OSError as error:
        raise ClientError(f"{logins.path()}: {error.strerror}; the token was not kept.", code="cannot_write") from None
    return {**told, "kept": str(kept)}


def _asked() -> str:
    """The token, typed unseen or piped in; an argument would stand in the shell's history."""
    return (getpass.getpass("Token: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()


def _status(options: argparse.Namespace) -> dict[str, Any]:
    with _client(options) as client:
        return client.status()


def _pull(options: argparse.Namespace) -> dict[str, Any]:
    asked = {name: getattr(options, name) for name in ("format", "since", "undecided", "wait")}
    with _client(options) as client:
        return client.pull(options.version, options.to, splits=options.split, **asked)


def _push(options: argparse.Namespace) -> dict[str, Any]:
    with _client(options) as client:
        return client.push(options.project, options.file, format=options.format, rejects=options.rejects)


def _verify(options: argparse.Namespace) -> dict[str, Any]:
    return verify(options.folder)


def _tell_login(result: Mapping[str, Any]) -> str:
    return f"{_tell_status(result)}\nkept in {result['kept']}"


def _tell_status(result: Mapping[str, Any]) -> str:
    token = result["token"] or {}
    who = [f"{token['user']}, {' '.join(token['scopes'])}, until {token['expires_at'][:10]}"] if token else []
    projects = ", ".join(result["projects"]) or "none"
    datasets = [f"{name}@{max(numbers)}" if numbers else name for name, numbers in result["datasets"].items()]
    return "\n".join(
        [
            result["server"],
            *who,
            f"projects: {projects}",
            f"datasets: {', '.join(datasets) or 'none that you may read'}",
        ]
    )


def _tell_pull(result: Mapping[str, Any]) -> str:
    told = [f"{f['rows']:>9} rows  {f['sha256'][:16]}…  {f['path']}" for f in result["files"] if f["split"]]
    left_out = sum(f.get("left_out", 0) for f in result["files"])
    told += [f"{left_out:>9} ties and both-bad rows left out: they are no pairs"] if left_out else []
    told += [f"{split}: not for this token (a protected split)" for split in result["refused_splits"]]
    told += [f"{name}: there before, and no part of this version" for name in result["left_over"]]
    came = f"{result['fetched']} fetched, {result['unchanged']} unchanged" if result["fetched"] else "nothing to do"
    return "\n".join([*told, f"{result['version']} in {result['to']}: {came}"])


def _tell_push(result: Mapping[str, Any]) -> str:
    told = ", ".join(f"{name.replace('_', ' ')} {result[name]}" for name in FIGURES)
    if not result["rejects"]:
        return told
    left_out = f", but for the last {result['rejects_left_out']:,}" if result["rejects_left_out"] else ""
    return f"{told}\nrejected rows: {result['rejects']}{left_out}"


def _tell_verify(result: Mapping[str, Any]) -> str:
    return f"{result['version']}: {result['files']} files, {result['bytes']:,} bytes, as the manifest says"
