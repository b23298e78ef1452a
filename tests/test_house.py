"""What holds for the project as a whole: its directions, its lock, its wheel, its pins."""

import os
import re
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
KNOWS_THE_RUN = {
    *("run", "runs", "run_list", "delivering", "forgetting", "pruning", "steps", "artifacts"),
}


def committed_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_every_plain_module_is_held_by_the_lint_rule() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    held = next(c["source_modules"] for c in contracts if c["name"].startswith("a plain module"))
    modules = {path.stem for path in (ROOT / "tasks").glob("*.py")} - {"__init__"}
    assert set(held) == {f"tasks.{name}" for name in modules - KNOWS_THE_RUN}


def test_no_committed_file_names_a_package_index() -> None:
    # put together here, so that this file names none itself
    words = (
        "--(extra-)?index" + "-url \\w",
        "--find" + "-links",
        "py" + "pi\\.",
        "python" + "hosted",
    )
    index = re.compile("|".join(words).encode())
    for path in committed_files():
        assert not index.search(path.read_bytes()), path


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_line_of_a_lock_is_pinned_and_hashed(lock: str) -> None:
    requirements = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())
    assert len(requirements) > 100
    for requirement in requirements:
        assert re.match(r"[\w.-]+(\[[\w, -]+\])?==[\w.+!-]+", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


def test_the_two_pins_are_direct_dependencies() -> None:
    pins = [one for one in PYPROJECT["project"]["dependencies"] if "<0.151" in one or "<2.1" in one]
    assert pins == ["fastapi>=0.139,<0.151", "sqlalchemy[asyncio]>=2.0,<2.1"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, ROOT], check=True, capture_output=True)
    return next(folder.glob("resegment-*.whl"))


def test_the_wheel_holds_four_packages_with_their_data_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packages = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert packages == {"flows", "tasks", "expectations", "deployments"}
    assert {
        "expectations/contracts/ccdata.yaml",
        "tasks/sample_calibration.json",
        "tasks/templates/report.html.j2",
        "tasks/templates/report.css",
        "tasks/templates/report.js",
        "tasks/templates/summary.md.j2",
        "tasks/migrations/env.py",
        "tasks/migrations/versions/0001_first_tables.py",
    } <= set(names)


def test_the_command_runs_from_the_wheel_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(installed)
    empty.mkdir()
    customers = tmp_path / "customers.csv"
    script = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "from deployments import cli\n"
        f"assert cli.__file__.startswith({str(installed)!r}), cli.__file__\n"
        "sys.argv[0] = 'resegment'\n"
        "cli.main()"
    )

    def resegment(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-c", script, *words],
            cwd=empty,
            env={**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    assert resegment("sample", "--rows", "400", "--output", str(customers)).returncode == 0
    quick = ("--embedding", "none", "--limit", "resamples=10")
    done = resegment("run", "--source", str(customers), "--segments", "4", *quick)
    assert (done.returncode, done.stderr.count("\n")) == (0, 7), done.stderr
    assert "published" in done.stdout
    assert [path.name for path in empty.iterdir()] == ["runs"]


def test_a_cron_deployment_really_gets_scheduled_runs(tmp_path: Path) -> None:
    """The pins' purpose: with other releases the server looks healthy and schedules nothing."""
    from tests.servers import prefect_server_at

    script = (
        "from flows.segment import segment\n"
        "print(segment.to_deployment('monthly', cron='0 6 2 * *').apply())"
    )
    with prefect_server_at(tmp_path) as (url, environment):
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env=environment, check=True, timeout=120,
            capture_output=True,
        )  # fmt: skip
        deadline = time.monotonic() + 90
        while not (scheduled := scheduled_runs(url)) and time.monotonic() < deadline:
            time.sleep(0.5)
    assert scheduled > 0


def scheduled_runs(url: str) -> int:
    import httpx

    asked_for = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    return httpx.post(f"{url}/flow_runs/count", json=asked_for, timeout=10).json()
