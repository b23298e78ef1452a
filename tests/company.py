"""A company whose customers are planted, month after month; its runs and its store in a folder."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import sqlalchemy as sa

from flows.parameters import store_url
from tasks import published
from tasks.run import Run
from tasks.runs import find_run
from tasks.store import Store, open_store
from tasks.tables import CURRENT_SEGMENTS
from tests.told import invoke, one_object

ID = "customer"
FIRST = pd.Period("2026-01", "M")
N_CUSTOMERS, N_JOIN = 400, 4  # of each month; as many leave
# Four groups, by falling size, that nobody could mix up: distances of eight spreads and more.
SHARES = (4, 3, 2, 1)
CENTRES = np.array([[0, 0, 0, 0], [2, 2, 0, 1], [2, 0, 2, 0], [0, 2, 2, 1], [0, 0, 3, 3]], float)
NEW_GROUP = 4  # nobody behaves like this of their own accord
COLUMNS = ("spend", "visits", "returns", "age")
SPREAD, UNREST = 0.25, 0.02
CONTRACT = """
name: shop
id: {column: customer, pattern: "K[0-9]{4}"}
value: spend
columns:
  spend: {kind: money}
  visits: {kind: money}
  returns: {kind: score}
  age: {kind: score}
personas:
  - {name: Spender, code: S1, when: {spend: {at_least: 20}}, actions: {retention: R, campaign: C}}
  - {name: Other, code: O1, actions: {retention: R, campaign: C}}
"""
PINNED = (
    *("--segments", "4", "--embedding", "none"),
    *("--limit", "resamples=10", "--limit", "null_draws=2"),
)
NEVER = ("--refit", "never")  # where the second opinion is not the subject: twice as quick


def customers(month: str, moved: Mapping[str, int] | None = None) -> pd.DataFrame:
    """The customers of a month; `moved` are those who behave as another group does."""
    number = (pd.Period(month, "M") - FIRST).n
    people = np.arange(number * N_JOIN, number * N_JOIN + N_CUSTOMERS)
    group = np.repeat(np.arange(4), SHARES)[people % 10]
    ids = [f"K{person:04d}" for person in people]
    group = np.array([(moved or {}).get(one, usual) for one, usual in zip(ids, group, strict=True)])
    own = [np.random.default_rng(person).normal(0, SPREAD, 4) for person in people]
    unrest = np.random.default_rng([1, number]).normal(0, UNREST, (N_CUSTOMERS, 4))
    Z = CENTRES[group] + np.clip(own, -2 * SPREAD, 2 * SPREAD) + unrest  # (n_customers, 4)
    table = pd.DataFrame(Z, columns=list(COLUMNS))
    table = table.assign(spend=10 * np.exp(table["spend"]), visits=10 * np.exp(table["visits"]))
    table.insert(0, ID, ids)
    return table


def in_group(group: int, month: str, n_customers: int) -> list[str]:
    """Customers of a month who are usually in a group; they were there before and stay a while."""
    ids = customers(month)[ID]
    usual = np.repeat(np.arange(4), SHARES)[ids.str[1:].astype(int) % 10]
    return ids[usual == group].tolist()[20 : 20 + n_customers]


@dataclass(frozen=True)
class Company:
    """Months in a folder, and the command that runs them there."""

    folder: Path

    @classmethod
    def founded(cls, folder: Path) -> "Company":
        """A company that has published nothing."""
        (folder / "shop.yaml").write_text(CONTRACT)
        return cls(folder)

    def copied_to(self, folder: Path) -> "Company":
        """The same months in another folder, to go on from there."""
        return Company(Path(shutil.copytree(self.folder, folder / "company")))

    @property
    def runs(self) -> Path:
        """The folder of the run folders, and of the store."""
        return self.folder / "runs"

    @property
    def contract(self) -> Path:
        """What its months are held against."""
        return self.folder / "shop.yaml"

    @property
    def store(self) -> Store:
        """The segment store."""
        return open_store(store_url("", self.runs, is_synthetic=False))

    @property
    def current(self) -> str:
        """The run whose assignments are the current ones; "" before the first."""
        return published.current(self.store) or ""

    def says(self, *words: object, code: int = 0) -> dict[str, Any]:
        """What a command prints as JSON; it ends with this exit code."""
        result = invoke(*words, "--json", "--runs", self.runs)
        assert result.exit_code == code, result.output
        return one_object(result)

    def month(
        self, month: str, *words: object, table: pd.DataFrame | None = None, code: int = 0
    ) -> dict[str, Any]:
        """Run a month; without a table, of the customers that it has."""
        source = self.folder / f"{month}.parquet"
        (customers(month) if table is None else table).to_parquet(source)
        where = ("--source", source, "--contract", self.contract)
        return self.says("run", "--month", month, *where, *PINNED, *words, code=code)

    def run_of(self, run_id: str) -> Run:
        """A run's folder."""
        return find_run(self.runs, run_id)

    def line_of(self, run_id: str) -> dict[str, Any]:
        """What the store says of a run."""
        return published.run_line(self.store, run_id)

    def statuses(self, run_id: str) -> set[str]:
        """A run's status: in its manifest, in the store, and as `resegment runs` tells it."""
        told = {one["run_id"]: one["status"] for one in self.says("runs")["runs"]}
        manifest = self.run_of(run_id).manifest
        return {manifest["status"], self.line_of(run_id)["status"], told[run_id]}

    def assigned(self, run_id: str) -> pd.DataFrame:
        """A publication's assignments, by customer."""
        return published.assignments_of(self.store, run_id).set_index("customer_id")

    def in_view(self) -> pd.DataFrame:
        """What a reader of the store sees, by customer."""
        with self.store.database.reading() as connection:
            rows = connection.execute(sa.select(CURRENT_SEGMENTS)).mappings().all()
        return pd.DataFrame(rows).set_index("customer_id")


def leave_blank(file: BinaryIO, figure: Any) -> None:
    """A picture's file without the picture."""
    file.write(b'<svg viewBox="0 0 1 1"></svg>')
