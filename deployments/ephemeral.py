"""A Prefect API of our own for the length of one run, and streams that carry only our words.

Prefect's ephemeral mode starts its server late, and imports it into the process of the flow too.
Here it is a child that comes up while the command imports what it needs::

    server = ephemeral.start_if_needed(debug=debug)  # before anything imports Prefect
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        from flows.segment import segment  # heavy imports, meanwhile
        if server:
            server.wait_ready()
        with ephemeral.without_heartbeats() if server else nullcontext():
            state = segment(..., return_state=True)
    finally:
        if server:
            server.stop()

Ctrl-C and the handler above both end in ``finally``. ``atexit`` calls `stop` as well, after
Prefect's own, and the server ends by itself when its parent is killed.
"""

from __future__ import annotations

import atexit
import http.client
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any

from expectations.errors import OutsideError

ALWAYS = {
    "PREFECT_LOGGING_EXTRA_LOGGERS": "resegment",  # what the steps say is in the run's log too
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}
SILENT_CONSOLE = {  # the handlers that write to stderr; the API goes on getting the log
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_HANDLERS_DEBUG_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
SILENT_LOGGERS = {"PREFECT_LOGGING_LEVEL": "CRITICAL", "PREFECT_LOGGING_ROOT_LEVEL": "CRITICAL"}
SERVER = {
    "PREFECT_API_URL": "",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_ROOT_LEVEL": "WARNING",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
    "PREFECT_SERVER_API_BASE_PATH": "/api",
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "false",
    "PREFECT_SERVER_EVENTS_STREAM_OUT_ENABLED": "false",
    "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED": "false",
    # Memoized, the blocks left out here would count as done, and no later server register them.
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
}


def quiet_environment(
    environ: Mapping[str, str], *, own_server: bool = True, debug: bool = False
) -> dict[str, str]:
    """Return the settings that keep a run quiet, less those that `environ` has already.

    On a server of our own nobody reads Prefect's log, so it is off; the user's server goes on
    getting it, and only our console is spared. `debug` leaves logging as it is. A logging file of
    the user's is heeded where its handlers have Prefect's names, ``console`` and ``debug``.
    """
    settings = dict(ALWAYS)
    if not debug:
        settings |= SILENT_CONSOLE | (SILENT_LOGGERS if own_server else {})
    return {name: value for name, value in settings.items() if name not in environ}


def configured_api_url() -> str | None:
    """Return the Prefect API that Prefect would use, or None where it would start its own.

    In Prefect's order: the environment, ``.env``, ``prefect.toml`` and ``pyproject.toml`` of the
    working directory, the active profile. Not covered: names in lower case, interpolation in
    ``.env``, and ``PREFECT_PROFILES_PATH`` set anywhere but in the environment.
    """
    home = os.environ.get("PREFECT_HOME") or Path.home() / ".prefect"
    profiles = _toml(os.environ.get("PREFECT_PROFILES_PATH") or Path(home, "profiles.toml"))
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    line = re.compile(r"\s*(?:export\s+)?PREFECT_API_URL\s*=\s*([\"']?)(.*?)\1\s*(?:\s#.*)?")
    found: list[str | None] = [
        os.environ.get("PREFECT_API_URL"),
        *[match[2] for text in _text(".env").splitlines() if (match := line.fullmatch(text))][-1:],
        _entry(_toml("prefect.toml"), "api", "url"),
        _entry(_toml("pyproject.toml"), "tool", "prefect", "api", "url"),
        _entry(profiles, "profiles", str(active), "PREFECT_API_URL"),
    ]
    return next((url for url in found if url is not None), None) or None  # "" hides the later ones


def _entry(table: object, *keys: str) -> str | None:
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table if isinstance(table, str) else None


def _toml(path: str | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError:  # Prefect will say so itself
        return {}


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def start_if_needed(*, debug: bool = False) -> PrefectServer | None:
    """Quieten this process and start a server, or return None where the run has one already.

    To be called before Prefect is imported, for it reads its settings then. Where that has
    happened (tests under Prefect's harness, a notebook) Prefect keeps to what it read.
    """
    url = configured_api_url()
    os.environ |= quiet_environment(os.environ, own_server=url is None, debug=debug)
    if url or "prefect" in sys.modules or os.name == "nt":  # Windows hands no socket to a child
        return None
    server = PrefectServer()
    server.start()
    return server


class PrefectServer:
    """Prefect's API in a child process, on the database of the user's ``PREFECT_HOME``.

    Runs, states, logs and artifacts are kept, and ``prefect server start`` shows them later;
    events are not kept and automations do not fire. Every user of the machine can reach a
    loopback port, so the API answers only to a password that is in our own environment.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (open until the end)
        self._environ_before: dict[str, str | None] = {}
        self._password = f"resegment:{secrets.token_urlsafe()}"
        self.port = 0

    @property
    def pid(self) -> int | None:
        """The child's process id; None before `start` and after `stop`."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the server and return at once; this process's environment now points at it."""
        root = str(Path(__file__).resolve().parents[1])
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            self.port, number = listener.getsockname()[1], listener.fileno()
            serve = f"from deployments import ephemeral; ephemeral.serve({number})"
            self._process = subprocess.Popen(
                # -P: a `random.py` in the user's folder must not become a module of the server.
                [sys.executable, "-P", "-c", f"import sys; sys.path.append({root!r}); {serve}"],
                stdin=subprocess.PIPE,  # never written to: it closes when this process dies
                stdout=subprocess.DEVNULL,
                stderr=self._words,
                env=os.environ | SERVER | {"PREFECT_SERVER_API_AUTH_STRING": self._password},
                pass_fds=[number],
                start_new_session=True,  # Ctrl-C is for us; the server must outlive it
            )
        atexit.register(self.stop)
        ours = {
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_API_AUTH_STRING": self._password,
        }
        for name in ("no_proxy", "NO_PROXY"):
            ours[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1"]))
        self._environ_before = {name: os.environ.get(name) for name in ours}
        os.environ |= ours

    def wait_ready(self, timeout: float = 120.0) -> None:
        """Wait until the server answers.

        One request does it: the socket was open before the server was born, so the request waits
        in its queue, and breaks off when the server dies.

        Raises
        ------
        OutsideError
            If the server died, or was silent for `timeout` seconds.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", "/api/health")
            status = connection.getresponse().status
            if status == 200:
                return
            what = f"answered with status {status}"
        except TimeoutError:
            what = f"did not answer within {timeout:g} s"
        except (OSError, http.client.HTTPException) as error:
            what = f"broke off ({error})"
        finally:
            connection.close()
        self.stop()
        self._words.seek(0)
        words = self._words.read().decode(errors="replace").splitlines()[-6:] or ["(none)"]
        raise OutsideError(
            f"run: the Prefect server that this command starts for itself {what}. Its last words:\n"
            + "".join(f"  {line}\n" for line in words)
            + "Make PREFECT_HOME (default ~/.prefect) a folder that can be written to, or point it "
            "at a new one, or point PREFECT_API_URL at a server that is running already."
        )

    def stop(self) -> None:
        """Stop the server once it has on record what was run; harmless when repeated.

        Task runs reach the database behind the flow's back, as events. So first our side sends
        what it holds, and then the server, told to stop, finishes what came in.
        """
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        try:
            if process.poll() is None:  # a dead server costs Prefect 7 s for each event it holds
                _send_what_is_queued()
        finally:
            process.terminate()
            process.stdin.close()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for name, value in self._environ_before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextmanager
def without_heartbeats() -> Iterator[None]:
    """Run flows without a heartbeat: nobody listens to it on a server of our own.

    At the end of a flow Prefect joins the heartbeat's thread, which sleeps in whole seconds.
    """
    from prefect.settings import temporary_settings

    # Not an environment variable: there Prefect takes whole numbers only.
    with temporary_settings({"flows.heartbeat_frequency": None}):
        yield


def _send_what_is_queued() -> None:
    """Have Prefect's client, where it is loaded, send the events and logs it still holds."""
    if worker := sys.modules.get("prefect.events.worker"):
        worker.EventsWorker.drain_all(timeout=5)


def serve(listener_number: int) -> None:
    """Serve Prefect's API on an open socket until told to stop: the child's side."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import fcntl
    import gc

    gc.disable()  # a fifth of the time these imports take
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import PREFECT_HOME

    # Two servers that make or migrate one database trip over each other: one at a time.
    home = os.open(PREFECT_HOME.value(), os.O_RDONLY)
    fcntl.flock(home, fcntl.LOCK_EX)
    app = create_app(ephemeral=True)
    prefects_lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: object) -> AsyncIterator[Any]:
        async with prefects_lifespan(served) as state:
            os.close(home)
            yield state
            await _everything_recorded()

    app.router.lifespan_context = lifespan
    gc.freeze()
    gc.enable()
    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=10)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=listener_number)])


async def _everything_recorded(patience: float = 15.0) -> None:
    """Wait until every event that came in was dealt with, or nothing moved any more.

    Prefect drops what is in its queue when it stops: most task runs of a short flow, or of one
    that ends while another run keeps the database busy. The API does not tell that they are
    missing. The counters are Prefect's own, and undocumented.
    """
    import asyncio

    from prefect.server.utilities.messaging import memory

    before, since = None, time.monotonic()
    while time.monotonic() - since < patience:
        now = dict(getattr(memory, "METRICS", {}).get("events", {}))
        if now.get("published") == now.get("consumed"):
            return
        if now != before:
            before, since = now, time.monotonic()
        await asyncio.sleep(0.01)


def _end_with_parent() -> None:
    """Stop this process when standard input, a pipe from the parent, is closed."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)
    os._exit(1)
