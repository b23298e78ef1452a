"""A run killed with SIGKILL after each stage is finished by `--resume`."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks import ingestion, steps
from tasks.run import STAGES

STEPS = {
    "raw": (ingestion, "read_customers"),
    "clean": (steps, "clean_customers"),
    "scaled": (steps, "scale_customers"),
    "selection": (steps, "select_segments"),
    "embedding": (steps, "embed_customers"),
    "segments": (steps, "cluster_customers"),
    "publication": (steps, "publish_segments"),
}


@pytest.fixture(scope="module")
def killed(
    prefect_server: None, month_of_600: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The runs folder of each killed month, by stage."""
    from prefect.settings import PREFECT_API_URL

    folder = tmp_path_factory.mktemp("killed")
    month_of_600.to_csv(folder / "customers.csv", index=False)
    script = Path(__file__).with_name("killed_runs.py")
    done = subprocess.run(
        [sys.executable, script, folder / "customers.csv", folder],
        env={**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value(), "PYTHONPATH": "."},
        cwd=script.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.split("\n")[:-1] == [f"{stage} 9" for stage in STAGES], done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def undisturbed(killed: Path, prefect_server: None) -> bytes:
    """The segments of a run that nobody killed."""
    from flows.parameters import SegmentParameters
    from flows.segment import segment

    asked_for = {
        "source": {"uri": str(killed / "customers.csv")},
        "selection": {"segments": 4, "resamples": 10},
        "plain_rule": {"null_draws": 2},
        "embedding": {"embedding": "none"},
        "runs": str(killed / "undisturbed"),
    }
    assert segment(SegmentParameters.model_validate(asked_for), return_state=True).is_completed()
    (path,) = (killed / "undisturbed").glob("*/segments.parquet")
    return path.read_bytes()


@pytest.mark.parametrize("stage", STAGES)
def test_resume_finishes_a_killed_run_and_repeats_nothing(
    stage: str,
    killed: Path,
    undisturbed: bytes,
    resegment: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (manifest,) = (killed / stage).glob("*/manifest.json")
    folder = manifest.parent
    committed = STAGES[: STAGES.index(stage) + 1]
    assert tuple(json.loads(manifest.read_text())["stages"]) == committed
    stamps = {one: (folder / f"{one}.parquet").stat().st_mtime_ns for one in committed}
    called = spy_on_steps(monkeypatch)

    result = resegment("run", "--resume", folder.name, "--runs", killed / stage, "--json")

    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["run_id"], summary["status"]) == (folder.name, "published")
    assert summary["month"] == str(json.loads(manifest.read_text())["month"])
    assert called == [one for one in STAGES if one not in committed]
    assert stamps == {one: (folder / f"{one}.parquet").stat().st_mtime_ns for one in committed}
    assert (folder / "segments.parquet").read_bytes() == undisturbed


def test_a_run_that_has_read_its_source_is_finished_without_it(
    resegment: Callable[..., Any], csv_of: Callable[..., Path], month_of_600: pd.DataFrame
) -> None:
    path = csv_of(month_of_600)
    summary = json.loads(resegment("run", "--source", path, "--segments", "4", "--json").stdout)
    path.unlink()
    Path(summary["run_dir"], "segments.parquet").unlink()
    again = resegment("run", "--resume", summary["run_id"], "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["segments"] == summary["segments"]
    Path(summary["run_dir"], "raw.parquet").unlink()
    lost = resegment("run", "--resume", summary["run_id"])
    assert lost.exit_code == 2
    assert "no such file" in lost.stderr


def spy_on_steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages whose function is called from now on, in order."""
    called: list[str] = []

    def spied(stage: str, step: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(step)
        def call(*inputs: Any, **settings: Any) -> Any:
            called.append(stage)
            return step(*inputs, **settings)

        return call

    for stage, (module, name) in STEPS.items():
        monkeypatch.setattr(module, name, spied(stage, getattr(module, name)))
    return called
