"""Small publications to be exported, and what a destination makes of the folders that it gets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from tasks import destinations
from tasks.erasing import tombstones_in
from tasks.exporting import Wanted, export
from tasks.listfiles import remove
from tasks.publishing import Publication, publish
from tasks.store import Store
from tests.publications import AT, assigned, publication_of

Pairs = set[tuple[str, str]]
JANUARY: dict[str, str | None] = {
    "K1": "S01", "K2": "S01", "K3": "S02", "K4": "S02", "K5": None, "K6": "S01",
}  # fmt: skip
FEBRUARY: dict[str, str | None] = {
    "K1": "S01", "K2": "S02", "K4": "S02", "K5": "S01", "K6": None, "K7": "S02",
}  # fmt: skip


def month_with(
    store: Store,
    month: str,
    run_id: str,
    where: Mapping[str, str | None],
    profiles: Mapping[str, Any] | None = None,
    **columns: Mapping[str, Any],
) -> Publication:
    """A month in which each customer is in this segment; other columns by customer, too."""
    rows = assigned(len(where), ("S01", "S02"), month).sort_values("customer_id")
    rows = rows.assign(customer_id=list(where), segment_id=list(where.values()))
    rows = rows.assign(status="stayed", runner_up="S02", previous="S01", confidence=0.75)
    for name, values in columns.items():
        rows[name] = [values.get(one, old) for one, old in zip(where, rows[name], strict=True)]
    made = publication_of(store, month, run_id)
    named = pd.DataFrame({"segment_id": sorted(profiles or {"S01": {}, "S02": {}})})
    named = named.assign(size=1, share=0.5, name="Group " + named["segment_id"])
    if profiles:
        named = named.assign(profile=named["segment_id"].map(dict(profiles)))
    return replace(made, assignments=rows, segments=named)


def publish_with(store: Store, month: str, run_id: str, where: Mapping[str, str | None]) -> None:
    """Publish such a month."""
    publish(store, month_with(store, month, run_id, where))


def pairs_in(folder: Path, *names: str) -> Pairs:
    """Customers and segments in these lists of an export."""
    tables = [pd.read_parquet(folder / f"{name}.parquet") for name in names]
    return {
        pair for one in tables for pair in zip(one["customer_id"], one["segment_id"], strict=True)
    }


def told_in(folder: Path) -> dict[str, Any]:
    """What an export says of itself."""
    return json.loads((folder / "export.json").read_text())


def whole_of(folder: Path) -> Pairs:
    """Everybody in the lists of segments."""
    return pairs_in(folder, *(path.stem for path in folder.glob("S*.parquet")))


def erased_in(folder: Path) -> set[str]:
    """Who is to be erased."""
    return set(pd.read_parquet(folder / "erased.parquet")["customer_id"])


@dataclass
class Destination:
    """It applies every folder once, in order: changes where it can, else the whole."""

    name: str
    number: int = 0
    has: Pairs = field(default_factory=set)

    def take(self, output: Path) -> list[Path]:
        """Apply what is new in a folder of exports."""
        new = [
            one for one in sorted(output.glob(f"{self.name}-*")) if self._number(one) > self.number
        ]
        for folder in new:
            self._apply(folder)
        return new

    def _number(self, folder: Path) -> int:
        return int(folder.name.removeprefix(f"{self.name}-")[:4])

    def _apply(self, folder: Path) -> None:
        told, erased = told_in(folder), erased_in(folder)
        entered, left = pairs_in(folder, "entered"), pairs_in(folder, "left")
        assert told["number"] == self._number(folder)
        if told["kind"] == "changes":
            assert told["follows"] == self.number
            assert left <= self.has  # nothing is said twice
            assert not entered & self.has
            assert erased <= {customer for customer, _ in self.has}
            stayed = {pair for pair in self.has - left if pair[0] not in erased}
            self.has = stayed | entered
        else:
            known = {pair for pair in self.has if pair[0] not in erased}
            assert known - left <= entered  # all that must go is told
            self.has = entered
        self.number = told["number"]
        assert self.has == whole_of(folder)
        customers = [customer for customer, _ in self.has]
        assert len(customers) == len(set(customers))


def with_months(store: Store) -> Store:
    publish_with(store, "2026-01", "january", JANUARY)
    publish_with(store, "2026-02", "february", FEBRUARY)
    return store


def rows_in(store: Store, table: sa.Table) -> int:
    with store.database.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def hashes_of(store: Store, *ids: str) -> list[str]:
    with store.database.reading() as connection:
        return [tombstones_in(connection).hash_of(one) for one in ids]


class Killed(BaseException):
    """The end of a process, as far as the store and the disk can tell."""


def export_killed(
    store: Store, run_id: str, wanted: Wanted, step: str, patch: pytest.MonkeyPatch
) -> None:
    """Export, and be gone at a step, with no time to undo anything."""

    def die(reached: str) -> None:
        if reached == step:
            raise Killed

    with patch.context() as gone, pytest.raises(Killed):
        gone.setattr(destinations, "take_back", lambda *_: None)
        export(store, run_id, wanted, AT, die)


def lose_unfinished(output: Path) -> None:
    """What a machine that is gone takes with it."""
    for folder in output.glob(".*.unfinished"):
        remove(folder)
