"""Rolling back keeps the store in order, and a segment's own name outlives refits."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expectations.errors import InputError
from tasks.amending import name_segment, rollback
from tasks.order import Published
from tasks.published import (
    base_for,
    current,
    publications,
    registry,
    run_lines,
    segments_of,
    settled,
)
from tasks.publishing import Superseded, publish
from tasks.store import Store, open_store
from tests.publications import AT, month_of, publication_of

pytest_plugins = ["tests.engines"]
DECISION = {"comment": "wrong extract", "who": "Ann", "decided_at": AT}


@pytest.fixture
def store(empty_store: Store) -> Store:
    return with_months(empty_store)


@pytest.fixture
def file_store(empty_file: Path) -> Store:
    return with_months(open_store(str(empty_file)))


def with_months(store: Store) -> Store:
    """January to March, of which February was corrected."""
    for run_id in ("2026-01", "2026-02", "2026-03"):
        publish(store, publication_of(store, run_id, run_id, n_customers=8))
    publish(store, publication_of(store, "2026-02", "corrected", n_customers=8))
    return store


def standing(store: Store) -> list[str]:
    return [one.run_id for one in publications(store) if one.stands]


def test_rolling_back_withdraws_all_that_came_after(store: Store) -> None:
    done = rollback(store, "2026-01", DECISION)
    assert done == ("2026-01", "2026-03", ["2026-02", "corrected", "2026-03"])
    assert (current(store), standing(store)) == ("2026-01", ["2026-01"])
    assert settled(store, month_of("2026-03")) is None


def test_rolling_back_to_a_replaced_revision_lets_it_stand_again(file_store: Store) -> None:
    done = rollback(file_store, "2026-02", DECISION)
    assert done.withdrawn == ["corrected", "2026-03"]
    assert (current(file_store), standing(file_store)) == ("2026-02", ["2026-01", "2026-02"])


def test_the_month_after_a_rollback_rests_on_what_is_current_again(file_store: Store) -> None:
    rollback(file_store, "2026-01", DECISION)
    base = base_for(file_store, month_of("2026-02"))
    assert base == ("2026-01", None, "2026-01", "2026-01", "2026-01", False, 0)
    assert publish(file_store, publication_of(file_store, "2026-02", "anew")).revision == 3
    assert (current(file_store), standing(file_store)) == ("anew", ["2026-01", "anew"])


@pytest.mark.parametrize(
    ("run_id", "words"),
    [
        ("nobody", "was never published"),
        ("2026-03", "is the current publication already"),
        ("withdrawn", r"Run 2026-04 again"),
    ],
)
def test_a_rollback_that_makes_no_sense_is_refused_with_words(
    run_id: str, words: str, file_store: Store
) -> None:
    publish(file_store, publication_of(file_store, "2026-04", "withdrawn"))
    rollback(file_store, "2026-03", DECISION)
    before = publications(file_store)
    with pytest.raises(InputError, match=words):
        rollback(file_store, run_id, DECISION)
    assert publications(file_store) == before


def test_a_withdrawn_run_cannot_be_published_again_as_it_was(file_store: Store) -> None:
    april = publication_of(file_store, "2026-04", "april")
    publish(file_store, april)
    rollback(file_store, "2026-03", DECISION)
    with pytest.raises(Superseded, match="rolled back"):
        publish(file_store, april)


def test_a_run_that_began_before_a_rollback_is_too_late(file_store: Store) -> None:
    april = publication_of(file_store, "2026-04", "april")
    rollback(file_store, "2026-01", DECISION)
    with pytest.raises(Superseded):
        publish(file_store, april)
    march = publication_of(file_store, "2026-03", "march")
    publish(file_store, march)
    with pytest.raises(Superseded, match="march became current"):
        publish(file_store, april)


def is_in_order(known: list[Published], pointer: str | None) -> bool:
    """One standing revision per month, and the pointer at the newest of them."""
    stand = [one for one in known if one.stands]
    months = [one.month for one in stand]
    newest = max(stand, key=lambda one: one.month).run_id if stand else None
    return len(set(months)) == len(months) and pointer == newest


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("publish"), st.integers(1, 4)),
            st.tuples(st.just("roll back"), st.integers(0, 9)),
        ),
        min_size=3,
        max_size=8,
    )
)
def test_whatever_is_published_and_rolled_back_the_store_stays_in_order(
    steps: list[tuple[str, int]], made_file: Path, tmp_path: Path
) -> None:
    copied = shutil.copy(made_file, tmp_path / "segments.db")
    store = open_store(str(copied))
    for number, (step, which) in enumerate(steps):
        known = publications(store)
        if step == "publish":
            month = f"2026-0{which}"
            done = publish(store, publication_of(store, month, f"{number}", n_customers=3))
            assert done.revision == 1 + sum(str(one.month) == month for one in known)
        elif known:
            target = known[which % len(known)]
            if target.status == "withdrawn" or target.run_id == current(store):
                with pytest.raises(InputError):
                    rollback(store, target.run_id, DECISION)
            else:
                rollback(store, target.run_id, DECISION)
                assert current(store) == target.run_id
        assert is_in_order(publications(store), current(store)), publications(store)
    stood = set(standing(store))
    for line in run_lines(store):
        if line["run_id"] in stood and line["replaces"] is not None:
            assert line["replaces"] not in stood


# Names


def test_a_name_stays_with_the_id_in_later_months(store: Store) -> None:
    name_segment(store, "S01", "  Big spenders ", "agreed in May", AT)
    publish(store, publication_of(store, "2026-04", "april", born=1))
    names = segments_of(store, "april").set_index("segment_id")["name"]
    assert names.to_dict() == {"S01": "Big spenders", "S02": "Group S02", "S03": "Group S03"}
    line = registry(store).set_index("segment_id").loc["S01"]
    assert (line["name"], line["note"], line["named_at"]) == ("Big spenders", "agreed in May", AT)


def test_an_unknown_id_is_refused_and_the_closest_is_named(file_store: Store) -> None:
    with pytest.raises(InputError, match=r"no segment s1\. Did you mean S01\? There are S01, S02"):
        name_segment(file_store, "s1", "Big spenders", None, AT)


def test_a_name_that_another_segment_has_is_refused(file_store: Store) -> None:
    name_segment(file_store, "S01", "Big spenders", None, AT)
    with pytest.raises(InputError, match="S01 has that name already"):
        name_segment(file_store, "S02", "Big spenders", None, AT)
    name_segment(file_store, "S01", "Big spenders", "a note more", AT)


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "Big\x1b[31m", "a\nb", "\u202eafter"])
def test_a_name_that_cannot_be_shown_is_refused(name: str, file_store: Store) -> None:
    with pytest.raises(InputError, match="a segment's name"):
        name_segment(file_store, "S01", name, None, AT)
    assert registry(file_store)["name"].isna().all()
