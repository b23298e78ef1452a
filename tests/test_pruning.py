"""Old months go from folders and stores; what is current, awaited or in use stays."""

from pathlib import Path
from typing import Any

import pytest

from expectations.errors import InputError
from tasks.pruning import ELSEWHERE, IN_USE, NEEDED, WAITS, Pruned, in_words, prune
from tasks.published import current, run_lines
from tasks.publishing import publish
from tasks.run import Run
from tasks.store import Store, open_store
from tests.publications import publication_of

pytest_plugins = ["tests.engines"]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def store(empty_file: Path) -> Store:
    return open_store(str(empty_file))


def folder_of(runs: Path, run_id: str, status: str = "published", **facts: Any) -> Run:
    """A run's folder with nothing but a manifest and a stage."""
    known = {"month": run_id[:7], "origin": "real", "publication": None, **facts}
    run = Run.open(runs, run_id, {**known, "status": status})
    (run.folder / "raw.parquet").write_bytes(b"customers")
    return run


def published(store: Store, runs: Path, month: str) -> Run:
    run_id = f"{month}-aaaaaaaa"
    publish(store, publication_of(store, month, run_id, n_customers=20))
    return folder_of(runs, run_id, publication={"store": store.database.shown})


def test_the_newest_months_stay_and_the_others_go(store: Store, runs: Path) -> None:
    made = [published(store, runs, f"2026-0{month}").id for month in range(1, 6)]
    folder_of(runs, "2026-01-bbbbbbbb", "refused")
    folder_of(runs, "2026-05-bbbbbbbb", "failed")
    done = prune([store], runs, keep=3, drop_awaiting=False)
    assert sorted(done.folders) == [made[0], "2026-01-bbbbbbbb", made[1]]
    assert sorted(done.publications) == made[:2]
    assert (done.oldest, done.stayed) == ({"real": "2026-03"}, {})
    assert sorted(path.name for path in runs.iterdir()) == [
        *made[2:], "2026-05-bbbbbbbb",
    ]  # fmt: skip
    assert [line["run_id"] for line in run_lines(store)] == made[2:]


def test_the_current_publication_stays_with_what_it_compares_with(store: Store, runs: Path) -> None:
    january, february, march = (published(store, runs, f"2026-0{n}").id for n in (1, 2, 3))
    folder_of(runs, "2027-06-cccccccc", "candidate")
    done = prune([store], runs, keep=1, drop_awaiting=True)
    assert (done.folders, done.publications) == ([january], [january])
    assert done.stayed == {february: NEEDED, march: NEEDED}
    assert current(store) == march


def test_a_run_that_awaits_a_decision_stays_until_told_otherwise(store: Store, runs: Path) -> None:
    waiting = folder_of(runs, "2026-01-bbbbbbbb", "awaiting")
    folder_of(runs, "2026-09-bbbbbbbb", "candidate")
    assert prune([store], runs, 2, drop_awaiting=False).stayed == {waiting.id: WAITS}
    assert prune([store], runs, 2, drop_awaiting=True).folders == [waiting.id]


def test_a_run_that_is_worked_on_stays(store: Store, runs: Path) -> None:
    running = folder_of(runs, "2026-01-bbbbbbbb", "running")
    folder_of(runs, "2026-09-bbbbbbbb", "candidate")
    with running.lock():
        assert prune([store], runs, 1, drop_awaiting=False).stayed == {running.id: IN_USE}
    assert prune([store], runs, 1, drop_awaiting=False).folders == [running.id]


def test_what_was_published_to_a_store_that_is_not_asked_stays(runs: Path) -> None:
    elsewhere = "postgresql://host/segments"
    run = folder_of(runs, "2026-01-bbbbbbbb", publication={"store": elsewhere})
    folder_of(runs, "2026-09-bbbbbbbb", "candidate")
    done = prune([], runs, 1, drop_awaiting=False)
    assert done.stayed == {run.id: ELSEWHERE.format(elsewhere)}


def test_real_and_synthetic_months_are_counted_apart(store: Store, runs: Path) -> None:
    real = folder_of(runs, "2026-01-bbbbbbbb", "candidate")
    old, new = (
        folder_of(runs, f"{month}-cccccccc", "candidate", origin="synthetic")
        for month in ("2029-01", "2029-12")
    )
    done = prune([store], runs, 6, drop_awaiting=False)
    assert done.folders == [old.id]
    assert done.oldest == {"real": "2025-08", "synthetic": "2029-07"}
    assert real.folder.is_dir()
    assert new.folder.is_dir()


def test_what_killed_prunings_and_replays_left_goes_unless_one_is_under_way(
    store: Store, runs: Path
) -> None:
    folder_of(runs, "2026-09-bbbbbbbb", "candidate")
    (runs / ".pruned-2026-01-bbbbbbbb").mkdir()
    folder_of(runs / ".replay-1", "2026-09-bbbbbbbb")
    with folder_of(runs / ".replay-2", "2026-09-bbbbbbbb").lock():
        prune([store], runs, 1, drop_awaiting=False)
    assert sorted(path.name for path in runs.iterdir()) == [".replay-2", "2026-09-bbbbbbbb"]


def test_with_nothing_on_record_the_call_is_wrong(store: Store, runs: Path) -> None:
    with pytest.raises(InputError, match="no run on record"):
        prune([store], runs, 3, drop_awaiting=False)


def test_it_says_what_went_and_why_the_others_stayed() -> None:
    done = Pruned({"real": "2026-03"}, ["2026-01-a"], ["2026-01-a"], {"2026-02-b": WAITS})
    assert in_words(done).splitlines() == [
        "1 run folders and 1 runs of the segment store dropped; kept since 2026-03 of real months.",
        "dropped: 2026-01-a",
        f"stayed: 2026-02-b, {WAITS}",
    ]
