"""The Prefect server of our own: it is quick and quiet, keeps the history and leaves nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployments import ephemeral
from expectations.errors import OutsideError

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import os
import signal
import sqlite3
import sys
import threading
import time
from contextlib import nullcontext

from deployments import ephemeral

server = ephemeral.start_if_needed()
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
run_id = None
try:
    from prefect import flow, runtime, task

    if server:
        server.wait_ready()

    @task
    def add(number):
        if number == 19 and "fail" in sys.argv:
            raise ValueError("19 is refused")
        if number == 2 and "sleep" in sys.argv:
            print(server.pid, flush=True)
            time.sleep(60)
        return number + 1

    @flow
    def twenty_tasks():
        global run_id
        run_id = runtime.flow_run.id
        for number in range(20):
            add(number)

    with ephemeral.without_heartbeats() if server else nullcontext():
        state = twenty_tasks(return_state=True)
    print(run_id, state.name)
    if "busy" in sys.argv:
        path = os.path.join(os.environ["PREFECT_HOME"], "prefect.db")
        other = sqlite3.connect(path, 30, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(1, other.rollback).start()
finally:
    if server:
        server.stop()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a new PREFECT_HOME; making its database takes seconds, so the module shares it."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty PREFECT_HOME and working directory, in an environment without settings."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start_script(tmp_path: Path, home: Path, *arguments: str, **settings: str) -> subprocess.Popen:
    """Start a flow of twenty short tasks in a process of its own, as the command does."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environ |= {"PREFECT_HOME": str(home), "PYTHONPATH": str(ROOT)} | settings
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def query(home: Path, sql: str, *values: str) -> list[tuple]:
    """Read Prefect's database as a later `prefect server start` would."""
    connection = sqlite3.connect(home / "prefect.db")
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def task_states(home: Path, run_id: str) -> list[str]:
    """Return the final states on record, in the order of the tasks."""
    sql = "SELECT state_type FROM task_run WHERE flow_run_id = ? ORDER BY start_time"
    return [state for (state,) in query(home, sql, run_id)]


def is_running(pid: int) -> bool:
    """Say whether a process lives; one that only waits for its parent's notice does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


LOCAL = "PREFECT_API_URL = 'http://local/api'"
PROFILES = f'active = "a"\n[profiles.a]\n{LOCAL}\n[profiles.b]\nPREFECT_LOGGING_LEVEL = "INFO"\n'


@pytest.mark.parametrize(
    ("files", "settings", "expected"),
    [
        ({}, {}, None),
        ({}, {"PREFECT_API_URL": "http://env/api"}, "http://env/api"),
        ({"profiles.toml": PROFILES}, {}, "http://local/api"),
        ({"profiles.toml": PROFILES}, {"PREFECT_API_URL": "http://env/api"}, "http://env/api"),
        ({"profiles.toml": PROFILES}, {"PREFECT_API_URL": ""}, None),
        ({"profiles.toml": PROFILES}, {"PREFECT_PROFILE": "b"}, None),
        ({"profiles.toml": PROFILES}, {"PREFECT_PROFILE": "gone"}, None),
        ({"profiles.toml": PROFILES.replace('active = "a"', "")}, {}, None),
        ({"profiles.toml": "active = "}, {}, None),
        ({"mine.toml": PROFILES}, {"PREFECT_PROFILES_PATH": "mine.toml"}, "http://local/api"),
        ({".env": "A=1\nexport PREFECT_API_URL='http://dot/api' # x\n"}, {}, "http://dot/api"),
        (
            {".env": "PREFECT_API_URL=http://a/api\nPREFECT_API_URL=http://b/api"},
            {},
            "http://b/api",
        ),
        ({".env": "# PREFECT_API_URL=http://dot/api\n"}, {}, None),
        ({"prefect.toml": "[api]\nurl = 'http://toml/api'\n"}, {}, "http://toml/api"),
        ({"pyproject.toml": "[tool.prefect.api]\nurl = 'http://p/api'\n"}, {}, "http://p/api"),
        (
            {
                ".env": LOCAL.replace("local", "dot"),
                "prefect.toml": "[api]\nurl = 'http://toml/api'",
            },
            {},
            "http://dot/api",
        ),
        (
            {"profiles.toml": PROFILES, "prefect.toml": "[api]\nurl = 'http://toml/api'"},
            {},
            "http://toml/api",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Failed to load profiles")
def test_configured_api_is_the_one_prefect_would_use(
    bare: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    settings: dict[str, str],
    expected: str | None,
) -> None:
    """Prefect itself is the judge: its settings are read anew in each case."""
    from prefect.settings import Settings

    for name, text in files.items():
        (bare / name).write_text(text)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert ephemeral.configured_api_url() == expected
    assert (Settings().api.url or None) == expected


def test_quiet_environment_leaves_what_the_user_has_set() -> None:
    """A level that the user chose stays, and the rest is added."""
    added = ephemeral.quiet_environment({"PREFECT_LOGGING_LEVEL": "DEBUG"})
    assert "PREFECT_LOGGING_LEVEL" not in added
    assert added["PREFECT_LOGGING_ROOT_LEVEL"] == "CRITICAL"


def test_debug_leaves_logging_alone() -> None:
    """Telemetry stays off all the same."""
    added = ephemeral.quiet_environment({}, debug=True)
    assert not [name for name in added if "LEVEL" in name]
    assert added["DO_NOT_TRACK"] == "1"


def test_no_server_is_started_where_an_api_is_configured(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's API stays in charge, and its log levels are not touched."""
    monkeypatch.setattr(os, "environ", dict(os.environ) | {"PREFECT_API_URL": "http://env/api"})
    assert ephemeral.start_if_needed() is None
    assert os.environ["PREFECT_API_URL"] == "http://env/api"
    assert "PREFECT_LOGGING_LEVEL" not in os.environ


def test_importing_the_module_loads_nothing_heavy() -> None:
    """It is the first statement of the command: everything waits for it."""
    code = "import sys, deployments.ephemeral; print({'prefect', 'pydantic'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_two_runs_at_once_on_a_new_home_keep_their_history_and_say_only_their_own_words(
    home: Path, tmp_path: Path
) -> None:
    """One succeeds and one fails; both make the database, and neither adds a word of Prefect's."""
    runs = [start_script(tmp_path, home), start_script(tmp_path, home, "fail")]
    told = [run.communicate(timeout=90) for run in runs]
    run_ids = [out.split()[0] for out, _ in told]
    assert told == [(f"{run_ids[0]} Completed\n", ""), (f"{run_ids[1]} Failed\n", "")]
    assert task_states(home, run_ids[0]) == ["COMPLETED"] * 20
    assert task_states(home, run_ids[1]) == ["COMPLETED"] * 19 + ["FAILED"]
    assert not (home / "memo_store.toml").exists()  # a later server would register no blocks


def test_history_is_kept_when_another_run_holds_the_database_at_the_end(
    home: Path, tmp_path: Path
) -> None:
    """The task runs that were not recorded yet wait for it in the server."""
    run_id = start_script(tmp_path, home, "busy").communicate(timeout=60)[0].split()[0]
    assert task_states(home, run_id) == ["COMPLETED"] * 20


def test_the_users_server_gets_the_log_and_the_console_does_not(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a server of ours plays the user's."""
    monkeypatch.setenv("PREFECT_HOME", str(home))
    server = ephemeral.PrefectServer()
    server.start()
    try:
        server.wait_ready()
        api = {name: os.environ[name] for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")}
        out, err = start_script(tmp_path, home, "fail", **api).communicate(timeout=60)
    finally:
        server.stop()
    run_id = out.split()[0]
    assert (out, err) == (f"{run_id} Failed\n", "")
    log = query(home, "SELECT message FROM log WHERE flow_run_id = ?", run_id)
    assert any("19 is refused" in message for (message,) in log)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_a_killed_run_leaves_no_server(
    home: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """In the middle of a task, with the server at work."""
    run = start_script(tmp_path, home, "sleep")
    assert run.stdout is not None
    server_pid = int(run.stdout.readline())
    assert is_running(server_pid)
    run.send_signal(number)
    run.communicate(timeout=20)
    deadline = time.monotonic() + 20
    while is_running(server_pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(server_pid)
    assert run.returncode == code


def test_a_server_that_cannot_start_says_why_and_what_to_do(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file lies where the folder should be; afterwards the environment is as it was."""
    (bare / "file").touch()
    monkeypatch.setenv("PREFECT_HOME", str(bare / "file"))
    before = dict(os.environ)
    server = ephemeral.PrefectServer()
    server.start()
    assert os.environ["PREFECT_API_URL"] == f"http://127.0.0.1:{server.port}/api"
    with pytest.raises(OutsideError, match="unable to open database file") as refusal:
        server.wait_ready()
    assert "Make PREFECT_HOME" in str(refusal.value)
    server.stop()
    assert dict(os.environ) == before
