"""A month is published whole or not at all, by one process at a time."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from expectations.errors import InputError
from tasks.amending import rollback
from tasks.erasing import forget
from tasks.order import Base
from tasks.published import (
    assignments_of,
    base_for,
    current,
    erased,
    loaded_runs,
    migration_of,
    minted,
    model_of,
    publications,
    publications_in,
    registry,
    rests_on_corrected,
    run_line,
    run_lines,
    segments_of,
    settled,
    source_months,
)
from tasks.publishing import Superseded, decide, publish, record
from tasks.store import Store, open_store
from tasks.tables import CURRENT_SEGMENTS, decisions, runs
from tests.databases import database_on
from tests.killed_publications import N_CUSTOMERS, STEPS
from tests.publications import AT, month_of, publication_of

pytest_plugins = ["tests.engines"]
ROOT = Path(__file__).resolve().parents[1]
KILLS = 10


@pytest.fixture
def store(empty_store: Store) -> Store:
    return empty_store


def loaded(store: Store) -> list[str]:
    with store.database.reading() as connection:
        return loaded_runs(connection)


def in_view(store: Store) -> pd.DataFrame:
    with store.database.reading() as connection:
        rows = connection.execute(sa.select(CURRENT_SEGMENTS)).mappings().all()
    table = pd.DataFrame(rows, columns=list(CURRENT_SEGMENTS.c.keys()))
    return table.sort_values("customer_id", ignore_index=True)


# What is published is what is read


def test_assignments_come_back_as_they_were_given(store: Store) -> None:
    """Columns that begin with thousands of nulls too: a driver must not take those for a type."""
    january = publication_of(store, "2026-01", n_customers=3001)
    is_late = january.assignments["customer_id"] >= "C0002990"
    given = january.assignments.assign(
        cause=january.assignments["cause"].mask(is_late, "refit"),
        value=january.assignments["value"].where(is_late),
    )
    publish(store, replace(january, assignments=given))
    found = assignments_of(store, january.run_id)
    given = given.sort_values("customer_id", ignore_index=True)
    pd.testing.assert_frame_equal(found, given, check_exact=True)
    assert found["cause"].count() == found["value"].count() == 11
    assert found["segment_id"].isna().sum() == 1


def test_categories_and_whole_numbers_are_stored_as_what_they_mean(store: Store) -> None:
    january = publication_of(store, "2026-01")
    odd = january.assignments.assign(
        status=january.assignments["status"].astype("category"), value=7
    )
    publish(store, replace(january, assignments=odd))
    found = assignments_of(store, january.run_id)
    assert set(found["status"]) == {"stayed", "not_assessed"}
    assert (found["value"] == 7.0).all()
    assert found["value"].dtype == np.float64


def test_a_run_comes_back_with_its_model_segments_matrix_and_ids(store: Store) -> None:
    january = publication_of(store, "2026-01", source_sha256="a" * 64)
    publish(store, january)
    line = run_line(store, january.run_id)
    expected = {
        "month": "2026-01", "revision": 1, "status": "published", "k": 2, "space": "none",
        "rows": {"kept": 50}, "metrics": {"silhouette": None}, "published_at": AT,
        "replaces": None, "current_before": None, "summary": None,
    }  # fmt: skip
    assert {name: line[name] for name in expected} == expected
    assert model_of(store, january.run_id) == january.model
    segments = segments_of(store, january.run_id)
    assert segments["size"].tolist() == [25, 24]
    assert segments["profile"][0] == {"BALANCE": {"median": 12.5, "lost": None}}
    assert migration_of(store, january.run_id)["customers"].tolist() == [3, 2]
    assert registry(store)["segment_id"].tolist() == ["S01", "S02"]
    assert registry(store)["birth"][1] == {"centre": [1.0, 2.0]}
    assert minted(store) == 2
    assert source_months(store) == {"a" * 64: (month_of("2026-01"), january.run_id)}


def test_the_view_has_the_current_month_with_names(store: Store) -> None:
    publish(store, publication_of(store, "2026-01"))
    publish(store, publication_of(store, "2026-02", n_customers=40))
    view = in_view(store)
    assert len(view) == 40
    assert set(view["month"]) == {"2026-02"}
    assert view["name"].dropna().unique().tolist() == ["Group S01", "Group S02"]
    is_last = view["customer_id"] == "C0000039"
    assert view.loc[~is_last, "assessed"].astype(bool).all()
    assert not view.loc[is_last, "assessed"].astype(bool).any()
    assert view.loc[is_last, "name"].isna().all()


def test_what_was_never_published_cannot_be_read(store: Store) -> None:
    record(store, {"run_id": "asks", "month": "2026-01", "origin": "real", "status": "awaiting"})
    for read in (assignments_of, model_of):
        with pytest.raises(InputError, match="holds no publication asks"):
            read(store, "asks")
    with pytest.raises(InputError, match="knows no run nobody"):
        run_line(store, "nobody")


# Once, whole, and only on what the run rests on


def test_publishing_twice_is_publishing_once(store: Store) -> None:
    january = publication_of(store, "2026-01")
    steps: list[str] = []
    first = publish(store, january, steps.append)
    before = (in_view(store), run_lines(store), loaded(store))
    assert publish(store, january, steps.append) == first
    after = (in_view(store), run_lines(store), loaded(store))
    pd.testing.assert_frame_equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert tuple(steps) == STEPS


def test_a_second_revision_replaces_the_first_and_is_current(store: Store) -> None:
    publish(store, publication_of(store, "2026-01", "r1"))
    done = publish(store, publication_of(store, "2026-01", "r2"))
    assert done.revision == 2
    assert [one.replaced_by for one in publications(store)] == ["r2", None]
    assert current(store) == "r2"


def test_a_late_correction_leaves_the_pointer_and_marks_what_rests_on_it(store: Store) -> None:
    for month in ("2026-02", "2026-03", "2026-04"):
        publish(store, publication_of(store, month, month))
    assert rests_on_corrected(store) == []
    publish(store, publication_of(store, "2026-03", "corrected"))
    assert current(store) == "2026-04"
    assert rests_on_corrected(store) == ["2026-04"]
    assert base_for(store, month_of("2026-05")).champion == "2026-04"
    publish(store, publication_of(store, "2026-04", "again"))
    assert rests_on_corrected(store) == []


@pytest.mark.parametrize("order", permutations(("2026-01", "2026-02", "2026-03")))
def test_in_whatever_order_three_months_come_the_newest_is_current(
    order: tuple[str, ...], empty_file: Path
) -> None:
    store = open_store(str(empty_file))
    for number, month in enumerate(order, start=1):
        publish(store, publication_of(store, month, month, n_customers=4, born=1))
        assert current(store) == max(order[:number])
    assert all(one.stands for one in publications(store))
    assert registry(store)["segment_id"].tolist() == ["S01", "S02", "S03", "S04"]


def test_a_run_whose_base_has_changed_writes_nothing(store: Store) -> None:
    publish(store, publication_of(store, "2026-01", "january"))
    late = publication_of(store, "2026-02", "late", born=1)
    publish(store, publication_of(store, "2026-02", "february"))
    with pytest.raises(Superseded, match="for the same month february was published") as told:
        publish(store, late)
    assert told.value.exit_code == 1
    assert (current(store), loaded(store)) == ("february", ["february", "january"])
    assert minted(store) == 2


def test_a_decision_that_comes_after_the_next_month_is_too_late(store: Store) -> None:
    publish(store, publication_of(store, "2026-01", "january"))
    awaiting = publication_of(store, "2026-02", "awaiting")
    record(store, {**awaiting.facts, "status": "awaiting"})
    publish(store, publication_of(store, "2026-03", "march"))
    with pytest.raises(Superseded, match=r"march became current.*Run 2026-02 again"):
        publish(store, awaiting)
    assert run_line(store, "awaiting")["status"] == "awaiting"
    assert settled(store, month_of("2026-02")) is None


def test_a_base_that_changes_while_rows_are_loaded_leaves_none_of_them(store: Store) -> None:
    publish(store, publication_of(store, "2026-01", "january"))
    late = publication_of(store, "2026-02", "late")
    winner = publication_of(store, "2026-02", "winner")

    def overtake(step: str) -> None:
        if step == "loaded":
            publish(store, winner)

    with pytest.raises(Superseded):
        publish(store, late, overtake)
    assert (current(store), loaded(store)) == ("winner", ["january", "winner"])


def test_a_rollback_while_rows_are_loaded_leaves_none_of_them(store: Store) -> None:
    for month in ("2026-01", "2026-02"):
        publish(store, publication_of(store, month, month))
    march = publication_of(store, "2026-03", "march")

    def roll_back(step: str) -> None:
        if step == "loaded":
            rollback(store, "2026-01", {"decided_at": AT})

    with pytest.raises(Superseded, match="2026-01 became current"):
        publish(store, march, roll_back)
    assert (current(store), loaded(store)) == ("2026-01", ["2026-01", "2026-02"])


def test_the_same_new_id_twice_is_refused_though_the_base_is_unchanged(store: Store) -> None:
    publish(store, publication_of(store, "2026-06", "june"))
    january, february = (publication_of(store, f"2026-0{n}", f"0{n}", born=1) for n in (1, 2))
    publish(store, january)
    with pytest.raises(Superseded, match="ids"):
        publish(store, february)
    assert (minted(store), loaded(store)) == (3, ["01", "june"])


def test_of_two_publishers_at_once_one_publishes_and_the_other_says_why_not(store: Store) -> None:
    publish(store, publication_of(store, "2026-01", "january"))
    rivals = [publication_of(store, "2026-02", name, 2000, born=1) for name in ("one", "two")]
    barrier = threading.Barrier(2)

    def try_it(number: int) -> str:
        barrier.wait()
        try:
            return publish(store, rivals[number]).run_id
        except Superseded:
            return "superseded"

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(try_it, range(2)))
    assert said in (["one", "superseded"], ["superseded", "two"])
    assert current(store) == said[said[0] == "superseded"]
    assert loaded(store) == sorted(["january", str(current(store))])
    assert len(in_view(store)) == 2000


def test_a_reader_always_sees_one_month_whole(store: Store) -> None:
    """The reader is a process of its own: within one, SQLite's two libraries take turns."""
    sizes = {"2026-01": 1000, "2026-02": 30_000}
    publish(store, publication_of(store, "2026-01", "january", sizes["2026-01"]))
    script = (
        "import sys, sqlalchemy as sa\n"
        "from tasks.store import open_store\n"
        "store = open_store(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "seen = []\n"
        "query = sa.text('SELECT month, count(*) FROM current_segments GROUP BY month')\n"
        "while not seen or seen[-1] != [('2026-02', 30000)]:\n"
        "    with store.database.reading() as connection:\n"
        "        seen.append([tuple(row) for row in connection.execute(query)])\n"
        "print(len(seen), sorted(set(map(tuple, seen))))\n"
    )
    url = store.database.url.render_as_string(hide_password=False)
    reader = subprocess.Popen(
        [sys.executable, "-c", script, url], cwd=ROOT, text=True, stdout=subprocess.PIPE
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "ready\n"
    publish(store, publication_of(store, "2026-02", "february", sizes["2026-02"]))
    said, _ = reader.communicate(timeout=60)
    n_reads, seen = said.split(" ", 1)
    assert int(n_reads) > 3
    assert seen.strip() == "[(('2026-01', 1000),), (('2026-02', 30000),)]"


def test_what_is_read_together_is_of_one_moment(store: Store) -> None:
    publish(store, publication_of(store, "2026-01", "january"))
    february = publication_of(store, "2026-02", "february")
    with store.database.reading() as connection:
        assert len(publications_in(connection)) == 1
        record(store, {**february.facts, "status": "awaiting"})
        count = sa.select(sa.func.count()).select_from(runs)
        assert connection.execute(count).scalar() == 1
    assert len(run_lines(store)) == 2


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kills(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[dict[str, Any]]]:
    """What `killed_publications.py` saw."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = str(tmp_path_factory.mktemp("kills") / "segments.db")
        else:
            url = stack.enter_context(database_on(request.getfixturevalue("postgresql")))
        ended = subprocess.run(
            [sys.executable, "-m", "tests.killed_publications", url, str(KILLS)],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        yield json.loads(ended.stdout)


def test_after_a_kill_anywhere_the_store_holds_the_old_or_the_new_month(
    kills: list[dict[str, Any]],
) -> None:
    assert sum(line["signal"] == 9 for line in kills) == KILLS + len(STEPS)
    at_steps = {line["kill"]: line for line in kills[: len(STEPS)]}
    new = at_steps["published"]["run_id"]
    assert [at_steps[step]["found"]["current"] for step in STEPS] == ["old"] * 4 + [new]
    for step in STEPS[:4]:  # what the steps prove: rows were there that nobody saw
        assert at_steps[step]["run_id"] in at_steps[step]["found"]["loaded"]
    for line in kills:
        is_new = line["found"]["current"] == line["run_id"]
        assert is_new or line["found"]["current"] == "old", line
        assert line["found"]["customers"] == N_CUSTOMERS["new" if is_new else "old"], line
        assert line["found"]["months"] == 1


def test_after_a_kill_the_rerun_publishes_and_no_left_over_stays(
    kills: list[dict[str, Any]],
) -> None:
    for number, line in enumerate(kills):
        before = [earlier["run_id"] for earlier in kills[: number + 1]]  # rolled back, still there
        assert line["rerun"] == {
            "current": line["run_id"], "customers": N_CUSTOMERS["new"], "months": 1,
            "loaded": sorted([*before, "old"]),
        }  # fmt: skip


def test_left_overs_of_a_killed_load_are_gone_after_the_next_publication(store: Store) -> None:
    class Killed(BaseException):
        pass

    def die(step: str) -> None:
        if step == "loaded first block":
            raise Killed

    publish(store, publication_of(store, "2026-01", "january"))
    with pytest.raises(Killed):
        publish(store, publication_of(store, "2026-02", "killed"), die)
    assert "killed" in loaded(store)
    publish(store, publication_of(store, "2026-02", "february"))
    assert loaded(store) == ["february", "january"]


# Erasure while a month is on its way


def test_a_customer_forgotten_before_publication_is_not_published_but_counted(
    store: Store,
) -> None:
    publish(store, publication_of(store, "2026-01", "january"))
    february = publication_of(store, "2026-02", "february")
    forget(store, ["C0000003"], AT)
    publish(store, february)
    assert "C0000003" not in set(assignments_of(store, "february")["customer_id"])
    assert erased(store, "february").to_dict("records") == [{"segment_id": "S02", "customers": 1}]


@pytest.mark.parametrize("customer", ["C0000003", "C0000040"], ids=["in it", "still to come"])
def test_a_customer_forgotten_after_the_first_block_is_not_published(
    customer: str, store: Store
) -> None:
    publish(store, publication_of(store, "2026-01", "january"))
    february = publication_of(store, "2026-02", "february")

    def erase(step: str) -> None:
        if step == "loaded first block":
            forget(store, [customer, "nobody"], AT)

    with pytest.raises(Superseded):
        publish(store, february, erase)
    assert loaded(store) == ["january"]
    publish(store, february)
    found = assignments_of(store, "february")["customer_id"]
    assert len(found) == 49
    assert customer not in set(found)


# Other runs, and decisions


def test_a_run_that_was_not_published_has_a_line_that_can_be_noted_anew(store: Store) -> None:
    line = {"run_id": "one", "month": "2026-01", "origin": "real", "error": "raw: 3 rows"}
    record(store, {**line, "status": "refused", "rows": {"source": 10}})
    record(store, {**line, "status": "candidate", "error": None, "k": np.int64(7)})
    found = run_line(store, "one")
    expected = {"status": "candidate", "error": None, "rows": {"source": 10}, "k": 7}
    assert {name: found[name] for name in expected} == expected
    assert publications(store) == []


def test_the_line_of_a_publication_is_not_noted_anew(store: Store) -> None:
    january = publication_of(store, "2026-01", "january")
    publish(store, january)
    record(store, {**january.facts, "status": "refused"})
    assert run_line(store, "january")["status"] == "published"


def test_a_month_that_a_person_kept_is_settled(store: Store) -> None:
    january, february = month_of("2026-01"), month_of("2026-02")
    publish(store, publication_of(store, "2026-01", "january"))
    record(store, {"run_id": "k", "month": february, "origin": "real", "status": "kept"})
    assert [settled(store, month) for month in (january, february, february + 1)] == [
        "published", "kept", None,
    ]  # fmt: skip
    rollback_target = publish(store, publication_of(store, "2026-03", "march"))
    rollback(store, "january", {"decided_at": AT})
    assert settled(store, rollback_target.month) is None


def test_decisions_are_noted_with_the_publication_or_by_themselves(store: Store) -> None:
    said = {"decision": "challenger", "comment": "clearer", "who": "Ann", "decided_at": AT}
    january = publication_of(store, "2026-01", "january")
    publish(store, replace(january, decision=said))
    decide(store, "other", {**said, "decision": "keep"})
    with store.database.reading() as connection:
        rows = connection.execute(sa.select(decisions).order_by(decisions.c.id)).mappings().all()
    assert [dict(row) for row in rows] == [
        {"id": 1, "run_id": "january", **said},
        {"id": 2, "run_id": "other", **said, "decision": "keep"},
    ]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: {"assignments": pd.concat([p.assignments] * 2)}, "50 rows repeat"),
        (lambda p: {"model": p.model._replace(content=b"other")}, "sha256"),
        (lambda p: {"facts": {**p.facts, "revision": 7}}, "revision follow"),
    ],
)
def test_a_publication_that_is_not_in_order_is_refused_before_anything_is_written(
    spoil: Callable[[Any], dict[str, Any]], words: str, empty_file: Path
) -> None:
    store = open_store(str(empty_file))
    good = publication_of(store, "2026-01")
    with pytest.raises(ValueError, match=words):
        publish(store, replace(good, **spoil(good)))
    assert loaded(store) == []


def test_an_empty_month_can_be_published(store: Store) -> None:
    """All customers may have left; gates decide whether that is believed."""
    january = publication_of(store, "2026-01", "january")
    publish(store, replace(january, assignments=january.assignments[:0]))
    assert len(assignments_of(store, "january")) == 0
    assert base_for(store, month_of("2026-01")) == Base(
        "january", "january", "january", None, None, False, 0
    )
