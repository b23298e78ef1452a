"""A company that publishes small months: its sources, its runs, its store, in one folder."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from flows.parameters import store_url
from tasks import published
from tasks.run import Run
from tasks.runs import find_run
from tasks.sample import Moves, draw_month
from tasks.store import Store, open_store

PINNED = (
    *("--segments", "4", "--embedding", "none"),
    *("--limit", "resamples=10", "--limit", "null_draws=2"),
)


def customers(month: str, rows: int = 600, moves: Moves | None = None) -> pd.DataFrame:
    """Synthetic customers of a month."""
    return draw_month(rows, pd.Period(month, "M"), 0, moves).table


@dataclass(frozen=True)
class Company:
    """The command, told to work in `folder`."""

    folder: Path
    command: Callable[..., Any]

    @property
    def runs(self) -> Path:
        """The folder of the run folders, and of the store."""
        return self.folder / "runs"

    @property
    def store(self) -> Store:
        """The segment store, as it is now."""
        return open_store(store_url("", self.runs, is_synthetic=False))

    @property
    def current(self) -> str | None:
        """The run whose assignments are the current ones."""
        return published.current(self.store)

    def __call__(self, *words: object, code: int = 0) -> dict[str, Any]:
        """What a command prints as JSON; it ends with this exit code."""
        result = self.command(*words, "--json", "--runs", self.runs)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return json.loads(result.stdout)

    def month(
        self, month: str, *words: object, table: pd.DataFrame | None = None, code: int = 0
    ) -> dict[str, Any]:
        """Run a month; without a table, of the customers that are drawn for it."""
        source = self.folder / f"{month}.parquet"
        (customers(month) if table is None else table).to_parquet(source)
        return self("run", "--month", month, "--source", source, *PINNED, *words, code=code)

    def run_of(self, run_id: str) -> Run:
        """A run's folder."""
        return find_run(self.runs, run_id)

    def copied_to(self, folder: Path) -> "Company":
        """The same months in another folder, to go on from there."""
        shutil.copytree(self.folder, folder / "company")
        return Company(folder / "company", self.command)

    def status(self, run_id: str) -> tuple[str, str | None, str]:
        """A run's status: in its manifest, in the store, and as `resegment runs` tells it."""
        lines = {line["run_id"]: line["status"] for line in published.run_lines(self.store)}
        told = {one["run_id"]: one["status"] for one in self("runs")["runs"]}
        return self.run_of(run_id).manifest["status"], lines.get(run_id), told[run_id]

    def assigned(self, run_id: str) -> pd.DataFrame:
        """A publication's assignments, by customer."""
        return published.assignments_of(self.store, run_id).set_index("customer_id")
