"""Lists hold who is in a segment; changes, applied, give exactly the lists."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.campaigns import ERASED, LEFT, LISTED, Lists, lists_of

CALLED = {"S01": "Spenders", "S02": "Savers", "S03": "Retired"}
PEOPLE = [f"K{number}" for number in range(8)]


def rows_of(where: dict[str, str | None], **columns: Any) -> pd.DataFrame:
    """A publication's customers."""
    ids = sorted(where)
    table = pd.DataFrame({"customer_id": ids, "segment_id": [where[one] for one in ids]})
    table = table.assign(
        confidence=0.5, runner_up="S02", status="stayed", previous="S01", cause=None,
        next_product=None, **columns,
    )  # fmt: skip
    texts = [name for name in table if name != "confidence"]
    return table.astype(dict.fromkeys(texts, "str"))


def held(*pairs: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(pairs), columns=["customer_id", "segment_id"], dtype="str")


def lists(
    where: dict[str, str | None],
    *pairs: tuple[str, str],
    left_out: set[str] = frozenset(),  # type: ignore[assignment]
    removed: tuple[str, ...] = (),
    is_whole: bool = False,
    **columns: Any,
) -> Lists:
    return lists_of(
        rows_of(where, **columns),
        held(*pairs),
        removed,
        CALLED,
        lambda ids: np.isin(ids.to_numpy(object), list(left_out)),
        lambda ids: np.asarray(ids == "K1"),
        is_whole=is_whole,
    )


def pairs_of(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["customer_id"], table["segment_id"], strict=True))


def test_a_customer_who_moved_leaves_the_old_segment_and_enters_the_new() -> None:
    made = lists({"K1": "S02", "K2": "S01"}, ("K1", "S01"), ("K2", "S01"))
    assert pairs_of(made.left) == [("K1", "S01")]
    assert pairs_of(made.entered) == [("K1", "S02")]
    assert made.everybody["status"].tolist() == ["entered", "stayed"]
    assert made.erased.empty


def test_who_is_in_no_segment_is_in_no_list_and_leaves() -> None:
    made = lists({"K1": None, "K2": "S01"}, ("K1", "S01"), ("K3", "S03"))
    assert pairs_of(made.everybody) == [("K2", "S01")]
    assert pairs_of(made.left) == [("K1", "S01"), ("K3", "S03")]
    assert made.left["segment"].tolist() == ["Spenders", "Retired"]


def test_who_objects_is_in_no_list_and_erased_only_where_the_destination_has_them() -> None:
    made = lists({"K1": "S01", "K2": "S01"}, ("K1", "S02"), left_out={"K1", "K2"})
    assert made.everybody.empty
    assert made.entered.empty
    assert made.left.empty
    assert made.erased["customer_id"].tolist() == ["K1"]


def test_the_forgotten_who_wait_are_erased_once() -> None:
    made = lists({"K2": "S01"}, ("K3", "S01"), left_out={"K3", "K1"}, removed=("K3", "K1"))
    assert made.erased["customer_id"].tolist() == ["K1", "K3"]
    assert made.left.empty


def test_a_whole_enters_everybody_and_still_says_what_must_go() -> None:
    has = ("K1", "S01"), ("K2", "S01"), ("K2", "S01"), ("K2", "S02")
    made = lists({"K1": "S01"}, *has, is_whole=True)
    assert pairs_of(made.entered) == [("K1", "S01")]
    assert made.everybody["status"].tolist() == ["entered"]
    assert pairs_of(made.left) == [("K2", "S01"), ("K2", "S02")]


def test_a_list_says_segments_by_their_names_and_the_status_in_plain_words() -> None:
    rows = {"K1": "S01", "K2": "S02"}
    columns = {"status": ["moved", "not_assessed"], "previous": ["S03", None]}
    made = lists(rows).everybody
    assert made.columns.tolist() == LISTED.names
    assert made.loc[0].to_dict() == {
        "customer_id": "K1", "segment": "Spenders", "segment_id": "S01", "confidence": 0.5,
        "runner_up": "Savers", "previous_segment": "Spenders", "status": "entered",
        "cause": made.loc[0, "cause"], "next_product": made.loc[0, "next_product"],
        "control": True,
    }  # fmt: skip
    table = rows_of(rows).assign(**columns, cause=["refit", None], next_product=["Loan", None])
    never = np.zeros(2, bool)
    found = lists_of(
        table, held(("K2", "S02")), (), CALLED, lambda ids: never[: len(ids)],
        lambda ids: never[: len(ids)], is_whole=False,
    ).everybody  # fmt: skip
    assert found["status"].tolist() == ["entered", "not assessed"]
    assert found["previous_segment"].tolist()[0] == "Retired"
    assert found["previous_segment"].isna().tolist() == [False, True]
    assert found["cause"].tolist()[0] == "refit"
    assert found["next_product"].tolist()[0] == "Loan"


@given(
    st.dictionaries(st.sampled_from(PEOPLE), st.sampled_from(["S01", "S02", None])),
    st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(["S01", "S02", "S03"]))),
    st.sets(st.sampled_from(PEOPLE)),
    st.booleans(),
)
def test_changes_applied_to_what_is_held_give_the_lists(
    where: dict[str, str | None], has: list[tuple[str, str]], left_out: set[str], is_whole: bool
) -> None:
    made = lists(where, *has, left_out=left_out, is_whole=is_whole)
    left, entered = set(pairs_of(made.left)), set(pairs_of(made.entered))
    erased = set(made.erased["customer_id"])
    kept = {pair for pair in set(has) - left if pair[0] not in erased}
    assert kept | entered == set(pairs_of(made.everybody))
    assert {one for one, segment in where.items() if segment and one not in left_out} == {
        *made.everybody["customer_id"]
    }
    assert erased == {one for one, _ in has} & left_out
    for table, schema in ((made.left, LEFT), (made.erased, ERASED), (made.entered, LISTED)):
        assert table.columns.tolist() == schema.names
        assert table["customer_id"].is_monotonic_increasing


@pytest.mark.parametrize("where", [{}, {"K1": None}])
def test_nobody_in_a_list_is_no_trouble(where: dict[str, str | None]) -> None:
    made = lists(where, ("K1", "S01"))
    assert made.everybody.empty
    assert pairs_of(made.left) == [("K1", "S01")]
    assert lists(where).left.empty
