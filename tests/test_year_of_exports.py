"""Whatever happens in a year, what a destination applies is exactly its last full state."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tasks.amending import rollback
from tasks.erasing import forget
from tasks.exporting import Wanted, export
from tasks.objections import left_out_in, remember
from tasks.published import current, publications
from tasks.store import Store, open_store
from tests.handed import (
    Destination,
    Pairs,
    erased_in,
    export_killed,
    lose_unfinished,
    pairs_in,
    publish_with,
    whole_of,
)
from tests.killed_exports import STEPS
from tests.publications import AT

pytest_plugins = ["tests.engines"]
PEOPLE = [f"K{number:02d}" for number in range(14)]
FIRST = pd.Period("2026-01", "M")
N_MONTHS = 12

seeds = st.integers(0, 2**16)
names = st.sampled_from(["mail", "phone"])
events = st.one_of(
    st.tuples(st.just("next"), seeds, st.integers(1, 2)),
    st.tuples(st.just("next"), seeds, st.just(1)),
    st.tuples(st.just("again"), seeds, st.integers(0, N_MONTHS - 1)),
    st.tuples(st.just("back"), st.integers(1, 2)),
    st.tuples(st.just("forget"), st.sampled_from(PEOPLE)),
    *[st.tuples(st.just("export"), names, st.integers(0, 2))] * 4,
    st.tuples(st.just("killed"), names, st.sampled_from([*STEPS, "entered"]), st.booleans()),
    st.tuples(st.just("taken"), names),
)


@dataclass
class Year:
    """A store, two destinations, and what there is to know about the customers."""

    store: Store
    output: Path
    destinations: dict[str, Destination]
    patch: pytest.MonkeyPatch
    month: pd.Period = FIRST - 1
    tables: dict[str, dict[str, str | None]] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    said: dict[str, tuple[pd.Period, bool]] = field(default_factory=dict)  # of who ever objected

    @property
    def left_out(self) -> set[str]:
        return self.forgotten | {one for one, (_, objects) in self.said.items() if objects}

    @property
    def standing(self) -> list[str]:
        return [one.run_id for one in publications(self.store) if one.stands]

    def next(self, seed: int, step: int) -> None:
        if self.month + step < FIRST + N_MONTHS:
            self.month += step
            self._publish(self.month, seed)

    def again(self, seed: int, number: int) -> None:
        if FIRST + number <= self.month:
            self._publish(FIRST + number, seed)

    def _publish(self, month: pd.Period, seed: int) -> None:
        """A table in which some object; the others are in a segment, in none, or not there."""
        rng = np.random.default_rng(seed)
        drawn = rng.choice(
            ["S01", "S02", "", "absent", "objects"], 14, p=[0.35, 0.25, 0.1, 0.1, 0.2]
        )
        people = {
            one: at for one, at in zip(PEOPLE, drawn, strict=True) if one not in self.forgotten
        }
        table = {one: at or None for one, at in people.items() if at.startswith("S") or not at}
        objecting = [one for one, at in people.items() if at == "objects"]
        with self.store.database.reading() as connection:
            hashes = [left_out_in(connection).hash_of(one) for one in objecting]
        remember(self.store, month, hashes, list(table))
        for one, objects in {
            **dict.fromkeys(table, False),
            **dict.fromkeys(objecting, True),
        }.items():
            last = self.said.get(one)
            if (last and month >= last[0]) or (not last and objects):
                self.said[one] = (month, objects)
        run_id = f"{month}-{len(self.tables)}"
        publish_with(self.store, str(month), run_id, table or {"K99": None})
        self.tables[run_id] = table

    def back(self, steps: int) -> None:
        before = [one for one in self.standing if one != current(self.store)]
        if len(before) >= steps and before[-steps] < str(current(self.store)):
            rollback(self.store, before[-steps], {"decided_at": AT})

    def forget(self, customer: str) -> None:
        forget(self.store, [customer], AT)
        self.forgotten.add(customer)

    def export(self, name: str, which: int) -> None:
        if standing := self.standing[-1 - which :]:
            had = {one for one, _ in self.destinations[name].has}
            export(self.store, standing[0], Wanted(name, self.output), AT)
            *_, last = self._take(name)
            assert whole_of(last) == self._wanted(standing[0])
            assert had & self.left_out <= erased_in(last)
            for listed in (pairs_in(last, "entered"), pairs_in(last, "left")):
                assert not {one for one, _ in listed} & self.left_out

    def killed(self, name: str, step: str, is_lost: bool) -> None:
        if standing := self.standing:
            export_killed(self.store, standing[-1], Wanted(name, self.output), step, self.patch)
            if is_lost:
                lose_unfinished(self.output)
            self._take(name)

    def taken(self, name: str) -> None:
        for folder in self.output.glob(f"{name}-*"):
            shutil.rmtree(folder)

    def _take(self, name: str) -> Sequence[Path]:
        return self.destinations[name].take(self.output)

    def _wanted(self, run_id: str) -> Pairs:
        table = self.tables[run_id]
        return {(one, at) for one, at in table.items() if at and one not in self.left_out}


@settings(  # without shrinking, which would take minutes
    max_examples=15, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.lists(events, min_size=15, max_size=30))
def test_deltas_replay_to_the_last_full_state_and_nobody_left_out_is_listed(
    made_file: Path, monkeypatch: pytest.MonkeyPatch, happened: list[tuple[Any, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(shutil.copy(made_file, folder))
        both = {name: Destination(name) for name in ("mail", "phone")}
        year = Year(store, Path(folder) / "lists", both, monkeypatch)
        year.next(0, 1)
        for what, *words in happened:
            getattr(year, what)(*words)
        for name in both:  # and in the end everybody can go on
            year.export(name, 0)
