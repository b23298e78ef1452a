"""Time publishing a month against `pandas.to_sql` through SQLAlchemy, on both databases.

``python -m tests.benchmarks.publishing [--rows N] [--rounds 3] [--whole]``. Both fill the same
table of a store in the same process, one after the other: `to_sql` the assignments, `publish` the
whole month with its check, its model and its pointer. On PostgreSQL `to_sql` takes long: it is
given a tenth of the rows and its seconds are scaled, which `--whole` changes. The server is that
of RESEGMENT_TEST_POSTGRES, else one of its own. Nothing is asserted: the figures depend on the
machine.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from tasks.publishing import publish
from tasks.store import Store, open_store
from tests.databases import database_on, postgresql_at, server_folder
from tests.publications import publication_of

ROWS = 1_000_000
PROMISED = 5.0


class Measured(NamedTuple):
    """Seconds for the same rows, and how many `to_sql` was really given."""

    publish: float
    to_sql: float
    n_given: int

    @property
    def ratio(self) -> float:
        """How many times as fast publishing is."""
        return self.to_sql / self.publish


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """An empty database of each engine: its name and URL."""
    with tempfile.TemporaryDirectory() as folder, server_folder() as data:
        files = {"SQLite": f"sqlite:///{Path(folder) / 'segments.db'}"}
        if given := os.environ.get("RESEGMENT_TEST_POSTGRES"):
            with database_on(given) as url:
                yield {**files, "PostgreSQL": url}
        else:
            with postgresql_at(data) as url:
                yield {**files, "PostgreSQL": url}


def by_publish(store: Store, n_rows: int) -> float:
    """Publish a month in the order in which a run gives it; returns seconds."""
    month = publication_of(store, "2026-01", "published", n_rows)
    rows = month.assignments.sort_values("customer_id", ignore_index=True)
    start = time.perf_counter()
    publish(store, replace(month, assignments=rows))
    return time.perf_counter() - start


def by_to_sql(store: Store, n_rows: int) -> float:
    """Append as many rows to the same table with pandas; returns seconds."""
    month = publication_of(store, "2026-02", "appended", n_rows)
    rows: pd.DataFrame = month.assignments.assign(run_id="appended")
    rows = rows.sort_values("customer_id", ignore_index=True)
    engine = sa.create_engine(store.database.url)
    start = time.perf_counter()
    rows.to_sql("assignments", engine, if_exists="append", index=False)
    seconds = time.perf_counter() - start
    engine.dispose()
    return seconds


def measure(engine: str, url: str, n_rows: int, is_whole: bool) -> Measured:
    """Time both in one database."""
    store = open_store(url, "real")
    publish(store, publication_of(store, "2025-12", "warm-up", 1000))
    is_scaled = engine == "PostgreSQL" and not is_whole
    n_given = n_rows // 10 if is_scaled else n_rows
    published = by_publish(store, n_rows)
    return Measured(published, by_to_sql(store, n_given) * n_rows / n_given, n_given)


def compare(n_rows: int, n_rounds: int, is_whole: bool, console: Console) -> None:
    """Measure both databases in turn, and print medians and ratios."""
    rounds: dict[str, list[Measured]] = {}
    for number in range(1, n_rounds + 1):
        with databases() as urls:
            for engine, url in urls.items():
                done = measure(engine, url, n_rows, is_whole)
                rounds.setdefault(engine, []).append(done)
                console.print(f"round {number} of {n_rounds}, {engine}: {done.ratio:.1f}")
    table = Table(title=f"Seconds to publish {n_rows:,} assignments, medians", title_justify="left")
    table.add_column("database")
    for heading in ("publish", "to_sql", "to_sql was given", "ratio", "least", "promised"):
        table.add_column(heading, justify="right")
    for engine, measured in rounds.items():
        seconds = [statistics.median(values) for values in zip(*measured, strict=True)]
        ratios = [one.ratio for one in measured]
        table.add_row(
            engine, f"{seconds[0]:.1f}", f"{seconds[1]:.1f}", f"{measured[0].n_given:,} rows",
            f"{statistics.median(ratios):.1f}", f"{min(ratios):.1f}", f"{PROMISED:.1f}",
        )  # fmt: skip
    console.print(table)


def main() -> int:
    """Read the command line, measure, and return the exit code."""
    parser = argparse.ArgumentParser(description="Time publishing against pandas.to_sql.")
    parser.add_argument("--rows", type=int, default=ROWS, help="assignments (1,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    parser.add_argument(
        "--whole", action="store_true", help="give to_sql all rows on PostgreSQL too (minutes)"
    )
    given = parser.parse_args()
    compare(given.rows, given.rounds, given.whole, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
