"""What a run rests on, in every state that a store can be in."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.order import Base, Published, rest_on


def month(text: str) -> pd.Period:
    return pd.Period(text, "M")


def published(
    text: str, revision: int = 1, status: str = "published", by: str | None = None
) -> Published:
    return Published(f"{text}-r{revision}", month(text), revision, status, by)


JANUARY, FEBRUARY, MARCH = (published(f"2026-0{number}") for number in (1, 2, 3))
NOTHING = Base(None, None, None, None, None, False, 0)


def test_the_first_month_rests_on_nothing() -> None:
    assert rest_on([], None, month("2026-01")) == NOTHING


def test_the_next_month_has_the_current_one_as_champion_and_compares_with_it() -> None:
    assert rest_on([JANUARY, FEBRUARY], "2026-02-r1", month("2026-03")) == Base(
        "2026-02-r1", None, "2026-02-r1", "2026-02-r1", "2026-02", False, 0
    )


def test_a_gap_is_counted_in_months_over_the_turn_of_the_year() -> None:
    base = rest_on([published("2025-11")], "2025-11-r1", month("2026-02"))
    assert (base.previous_month, base.gap) == ("2025-11", 2)


def test_the_current_month_again_replaces_it_and_compares_with_the_month_before() -> None:
    assert rest_on([JANUARY, FEBRUARY], "2026-02-r1", month("2026-02")) == Base(
        "2026-02-r1", "2026-02-r1", "2026-02-r1", "2026-01-r1", "2026-01", False, 0
    )


def test_a_corrected_older_month_has_the_revision_that_it_replaces_as_champion() -> None:
    assert rest_on([JANUARY, FEBRUARY, MARCH], "2026-03-r1", month("2026-02")) == Base(
        "2026-03-r1", "2026-02-r1", "2026-02-r1", "2026-01-r1", "2026-01", True, 0
    )


def test_an_older_new_month_has_the_newest_month_before_it_as_champion() -> None:
    assert rest_on([JANUARY, MARCH], "2026-03-r1", month("2026-02")) == Base(
        "2026-03-r1", None, "2026-01-r1", "2026-01-r1", "2026-01", True, 0
    )


def test_a_month_older_than_all_has_the_earliest_as_champion_and_no_previous() -> None:
    assert rest_on([FEBRUARY, MARCH], "2026-03-r1", month("2026-01")) == Base(
        "2026-03-r1", None, "2026-02-r1", None, None, True, 0
    )


def test_neither_replaced_nor_withdrawn_revisions_are_rested_on() -> None:
    known = [
        published("2026-01", by="2026-01-r2"),
        published("2026-01", 2),
        published("2026-02", status="withdrawn"),
    ]
    assert rest_on(known, "2026-01-r2", month("2026-03")) == Base(
        "2026-01-r2", None, "2026-01-r2", "2026-01-r2", "2026-01", False, 1
    )


def test_a_current_publication_that_does_not_stand_is_an_error() -> None:
    with pytest.raises(ValueError, match="2026-01-r1"):
        rest_on([published("2026-01", by="2026-01-r2")], "2026-01-r1", month("2026-02"))


@given(
    months=st.sets(st.integers(0, 40), min_size=1, max_size=8),
    asked=st.integers(0, 45),
    order=st.randoms(use_true_random=False),
)
def test_whatever_stands_the_base_follows_from_the_months_and_not_from_their_order(
    months: set[int], asked: int, order: object
) -> None:
    first = month("2024-01")
    known = [published(str(first + number)) for number in sorted(months)]
    shuffled = list(known)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    current = f"{first + max(months)}-r1"
    base = rest_on(shuffled, current, first + asked)
    before = [number for number in months if number < asked]
    assert base == rest_on(known, current, first + asked)
    assert base.is_older == (asked < max(months))
    assert (base.replaces is not None) == (asked in months)
    assert base.previous == (f"{first + max(before)}-r1" if before else None)
    assert base.gap == (asked - max(before) - 1 if before else 0)
    assert base.champion is not None
