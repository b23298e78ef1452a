"""Ids stay with the customers they were minted for; what became of segments is told."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.matching import (
    Matched,
    match_profiles,
    match_segments,
    segment_id,
    sorted_ids,
    transitions,
)

IDS = ["S01", "S02", "S03", None]


def rows(**counts: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and old ids of so many customers: `p0_S01=3`; `S00` is null."""
    pairs = [(name.split("_"), count) for name, count in counts.items()]
    labels = [int(position[1:]) for (position, _), count in pairs for _ in range(count)]
    known = [None if old == "S00" else old for (_, old), count in pairs for _ in range(count)]
    return np.array(labels), np.array(known, dtype=object)


def matched(k: int, minted: int, **counts: int) -> Matched:
    return match_segments(*rows(**counts), k, minted)


# --------------------------------------------------------------------- ids by shared customers
def test_a_refit_that_numbers_its_segments_otherwise_keeps_their_ids() -> None:
    found = matched(3, 3, p0_S03=90, p0_S01=10, p1_S01=80, p2_S02=70, p2_S03=5)
    assert found.ids == ["S03", "S01", "S02"]
    assert (found.born, found.retired) == ([], [])
    assert found.jaccards == [90 / 105, 80 / 90, 70 / 75]


def test_an_id_is_inherited_at_half_the_customers_and_minted_below() -> None:
    half = matched(2, 2, p0_S01=10, p0_S02=5, p1_S01=5, p1_S02=10)  # Jaccard 10 / 20
    assert (half.ids, half.jaccards) == (["S01", "S02"], [0.5, 0.5])
    below = matched(2, 2, p0_S01=10, p0_S02=6, p1_S01=5, p1_S02=10)  # 10 / 21
    assert below == Matched(["S03", "S04"], ["S03", "S04"], ["S01", "S02"], [10 / 21, 10 / 21])


def test_an_id_is_never_used_again() -> None:
    """S02 and S05 are gone; the next is the sixth, not a free one."""
    found = matched(3, 5, p0_S01=9, p1_S03=9, p2_S01=3, p2_S04=4, p2_S03=1)
    assert (found.ids, found.born, found.retired) == (["S01", "S03", "S04"], [], [])
    found = matched(3, 5, p0_S01=9, p1_S03=9, p2_S01=4, p2_S03=4, p2_S04=2)
    assert (found.ids, found.born, found.retired) == (["S01", "S03", "S06"], ["S06"], ["S04"])


def test_ids_are_minted_in_order_of_position() -> None:
    found = matched(4, 99, p0_S00=5, p1_S07=5, p2_S00=1, p3_S00=9)
    assert found.ids == ["S100", "S07", "S101", "S102"]
    assert found.jaccards == [0, 1, 0, 0]
    first = match_segments(np.array([0, 1, 1]), np.full(3, None), 2, 0)
    assert first == Matched(["S01", "S02"], ["S01", "S02"], [], [0, 0])


def test_joiners_do_not_count() -> None:
    assert matched(2, 2, p0_S01=5, p0_S00=500, p1_S02=5, p1_S00=3).ids == ["S01", "S02"]


def test_two_small_overlaps_do_not_outbid_the_one_that_inherits() -> None:
    """S01 is found again in p0 (.53); S02 in p0 and p1 in S01 are .33 each, together more."""
    found = matched(2, 2, p0_S01=66, p0_S02=33, p1_S01=25)
    jaccards = np.array([[66 / 124, 33 / 99], [25 / 91, 0]])
    assert jaccards[0, 0] < jaccards[0, 1] + jaccards[1, 0]
    assert found == Matched(["S01", "S03"], ["S03"], ["S02"], [66 / 124, 25 / 91])


def test_of_two_equal_halves_one_keeps_the_id() -> None:
    assert matched(2, 1, p0_S01=5, p1_S01=5).ids == ["S01", "S02"]
    merged = matched(1, 2, p0_S01=5, p0_S02=5)
    assert (merged.ids, merged.retired) == (["S01"], ["S02"])


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(IDS)), max_size=40), st.randoms())
def test_ids_are_unique_and_do_not_hang_on_the_order_of_customers(
    pairs: list[tuple[int, str | None]], random: object
) -> None:
    def match(of: list[tuple[int, str | None]]) -> Matched:
        labels, known = [position for position, _ in of], [id_ for _, id_ in of]
        return match_segments(np.array(labels, int), np.array(known, object), 4, 3)

    found = match(pairs)
    assert len(set(found.ids)) == 4
    assert set(found.born) == {id_ for id_ in found.ids if id_ > "S03"}
    old = {id_ for _, id_ in pairs if id_}
    assert set(found.retired) | (set(found.ids) - set(found.born)) == old
    random.shuffle(pairs)  # type: ignore[attr-defined]
    assert match(pairs) == found


def test_a_known_id_that_was_never_minted_is_a_fault() -> None:
    with pytest.raises(ValueError, match="S03 is known, but 2 ids"):
        matched(1, 2, p0_S03=1)


def test_ids_are_sorted_by_number() -> None:
    assert segment_id(7) == "S07"
    assert segment_id(100) == "S100"
    assert sorted_ids({"S100", "S99", "S02"}) == ["S02", "S99", "S100"]


# --------------------------------------------------------------------------------- by profiles
OLD = pd.DataFrame({"a": [0.0, 2.0, 8.0], "b": [0.0, 0.0, 6.0]}, index=["S01", "S02", "S05"])


def test_without_shared_customers_the_nearest_profile_inherits() -> None:
    new = pd.DataFrame({"b": [6.1, 0.2, 0.0], "c": [1.0, 2.0, 3.0], "a": [8.2, 2.1, -0.9]})
    found = match_profiles(new, OLD, 5)
    assert found == Matched(["S05", "S02", "S01"], [], [], [])
    assert match_profiles(100 * new, 100 * OLD, 5) == found


def test_a_profile_too_far_from_all_old_ones_is_minted() -> None:
    new = pd.DataFrame({"a": [0.0, 8.0, 2.0], "b": [1.0, 4.9, 0.0]})  # 1 apart: half of 2
    assert match_profiles(new, OLD, 5) == Matched(["S01", "S06", "S02"], ["S06"], ["S05"], [])
    assert match_profiles(new + 0.01, OLD, 5).ids == ["S06", "S07", "S02"]


def test_of_two_near_ones_the_nearer_inherits() -> None:
    new = pd.DataFrame({"a": [0.5, 0.4], "b": [0.0, 0.0]})
    assert match_profiles(new, OLD, 5).ids == ["S06", "S01"]


def test_columns_of_one_month_only_or_not_known_of_all_are_not_compared() -> None:
    new = pd.DataFrame({"a": [0.1, 2.1, 8.0], "b": [9.0, np.nan, 9.0], "c": 1.0})
    assert match_profiles(new, OLD, 5).ids == ["S01", "S02", "S05"]
    strange = pd.DataFrame({"c": [1.0, 2.0]})
    assert match_profiles(strange, OLD, 5).born == ["S06", "S07"]


# -------------------------------------------------------------------------------- transitions
def became(**counts: int) -> list[dict]:
    """What became of segments: `S01_S02=3` moved so; `S00` is null."""
    pairs = [(name.split("_"), count) for name, count in counts.items()]
    moves = np.array([pair for pair, count in pairs for _ in range(count)], dtype=object)
    moves[moves == "S00"] = None
    return transitions(moves[:, 0], moves[:, 1])


def line(kind: str, before: list[str], after: list[str], overlap: float) -> dict:
    return {"kind": kind, "from": before, "to": after, "overlap": overlap}


def test_an_ordinary_month_is_survival() -> None:
    assert became(S01_S01=95, S01_S02=5, S02_S02=50, S02_S00=9, S00_S01=7) == [
        line("survival", ["S01"], ["S01"], 0.95), line("survival", ["S02"], ["S02"], 1.0),
    ]  # fmt: skip


def test_a_split_a_merge_a_birth_and_a_death_are_told() -> None:
    assert became(S01_S01=60, S01_S07=40) == [line("split", ["S01"], ["S01", "S07"], 1.0)]
    assert became(S01_S01=50, S02_S01=9, S02_S03=1, S03_S03=5) == [
        line("survival", ["S03"], ["S03"], 1.0), line("merge", ["S01", "S02"], ["S01"], 59 / 60),
    ]  # fmt: skip
    assert became(S01_S01=24, S01_S02=24, S01_S03=24, S01_S04=24, S01_S05=4, S02_S02=96,
                  S03_S03=96, S04_S04=96) == [
        line("survival", ["S02"], ["S02"], 1.0), line("survival", ["S03"], ["S03"], 1.0),
        line("survival", ["S04"], ["S04"], 1.0), line("death", ["S01"], [], 0.0),
        line("birth", [], ["S01"], 0.0), line("birth", [], ["S05"], 0.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stay", "leave", "kind"), [(76, 24, "survival"), (75, 25, "split"), (25, 25, "split")]
)
def test_a_quarter_makes_a_part(stay: int, leave: int, kind: str) -> None:
    rest = {f"S01_S1{number}": (100 - stay - leave) // 10 for number in range(10)}
    (first, *births) = became(S01_S01=stay, S01_S02=leave, **rest)
    assert first["kind"] == kind
    assert {one["kind"] for one in births} <= {"birth"}


@pytest.mark.parametrize(("stay", "kind"), [(50, "survival"), (49, "death")])
def test_half_makes_an_heir(stay: int, kind: str) -> None:
    rest = {f"S01_S{number}": 1 for number in range(10, 110 - stay)}
    told = became(S01_S01=stay, **rest)
    assert [one["kind"] for one in told if one["from"]] == [kind]


def test_customers_without_a_segment_are_left_out() -> None:
    assert became(S01_S00=50, S00_S02=50, S03_S03=1) == [line("survival", ["S03"], ["S03"], 1.0)]
    assert transitions(np.array([None]), np.array(["S01"], object)) == []


@given(st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)), max_size=40))
def test_every_segment_has_one_fate(moves: list[tuple[str | None, str | None]]) -> None:
    known = [(then, now) for then, now in moves if then and now]
    told = transitions(*np.array([*moves, (None, None)], dtype=object).T)
    sources = [id_ for one in told for id_ in one["from"]]
    assert sorted(sources) == sorted({then for then, _ in known})
    assert {id_ for one in told for id_ in one["to"]} == {now for _, now in known}
    assert all(0 <= one["overlap"] <= 1 for one in told)
