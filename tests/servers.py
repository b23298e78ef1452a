"""Real servers for tests, on loopback, stopped by their own process id."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


@contextmanager
def prefect_server_at(home: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A `prefect server start` with its own home: its API's URL, a client's environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ, "PREFECT_HOME": str(home / "prefect"), "PREFECT_API_URL": url,
        "PREFECT_SERVER_UI_ENABLED": "false",
    }  # fmt: skip
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)], env=environment, stdout=log, stderr=log
        )
        try:
            wait_until_healthy(url, server, home / "server.log")
            yield url, environment
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_until_healthy(url: str, server: subprocess.Popen, log: Path) -> None:
    """Poll the health of a server that is starting; its log is in the error."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"no Prefect server at {url}: {log.read_text()[-2000:]}")
