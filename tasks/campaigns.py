"""Campaign lists: who is in which, and what has changed for a destination that has others.

What a destination has is a set of pairs, customer and segment. `entered` are the pairs that it is
to add, `left` those that it is to take out, so whoever moved is in both; `erased` are customers
whose every pair goes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

NOT_ASSESSED = "not assessed"
LISTED = pa.schema(
    [
        *((name, pa.string()) for name in ("customer_id", "segment", "segment_id")),
        ("confidence", pa.float64()),
        *((name, pa.string()) for name in ("runner_up", "previous_segment", "status", "cause")),
        ("next_product", pa.string()),
        ("control", pa.bool_()),
    ]
)
LEFT, ERASED = (pa.schema([LISTED.field(one) for one in range(n)]) for n in (3, 1))

Mark = Callable[[pd.Series], np.ndarray]


class Lists(NamedTuple):
    """Campaign lists, each sorted by customer.

    Parameters
    ----------
    everybody, entered : DataFrame
        One row per customer: columns of `LISTED`.
    left : DataFrame
        One row per pair: columns of `LEFT`.
    erased : DataFrame
        One row per customer: columns of `ERASED`.
    """

    everybody: pd.DataFrame
    entered: pd.DataFrame
    left: pd.DataFrame
    erased: pd.DataFrame


def lists_of(
    assignments: pd.DataFrame,
    held: pd.DataFrame,
    removed: Sequence[str],
    called: Mapping[str, str],
    is_left_out: Mark,
    in_control: Mark,
    *,
    is_whole: bool,
) -> Lists:
    """The lists of a month, and the changes against what a destination has.

    Parameters
    ----------
    assignments : DataFrame
        A publication's customers, sorted by id; who is in no segment is in no list.
    held : DataFrame
        `customer_id, segment_id`, the pairs that the destination may have, also more than once.
    removed : sequence of str
        Customers whom it has been told nothing of since they were forgotten.
    called : mapping
        What each segment is called in the lists, by id; its id where it is not in it.
    is_left_out, in_control : callable
        Ids, (n_customers,), to whether they object or were forgotten, and to whether they are in
        the control group.
    is_whole : bool
        The destination starts anew, so everybody enters; what it has goes all the same.
    """
    there = assignments[assignments["segment_id"].notna()]
    there = there[~is_left_out(there["customer_id"])].reset_index(drop=True)
    found = pd.Index(there["customer_id"]).get_indexer(held["customer_id"])  # -1: in no list
    is_kept = (found >= 0) & (_at(there["segment_id"], found) == _objects(held["segment_id"]))
    is_known = np.zeros(len(there), dtype=bool)
    is_known[found[is_kept]] = not is_whole
    everybody = _listed(there, is_known, called, in_control)
    gone = held[~is_kept]
    is_erased = is_left_out(gone["customer_id"])
    erased = sorted({*removed, *gone.loc[is_erased, "customer_id"]})
    left = gone[~is_erased].drop_duplicates()
    left = left.sort_values(["customer_id", "segment_id"], ignore_index=True)
    return Lists(
        everybody=everybody,
        entered=everybody[~is_known],
        left=left.assign(segment=_names(left["segment_id"], called))[LEFT.names],
        erased=pd.DataFrame({"customer_id": pd.Series(erased, dtype="str")}),
    )


def _listed(
    there: pd.DataFrame, is_known: np.ndarray, called: Mapping[str, str], in_control: Mark
) -> pd.DataFrame:
    status = np.where(is_known, "stayed", "entered")
    is_assessed = (there["status"] != "not_assessed").to_numpy()
    return pd.DataFrame(
        {
            "customer_id": there["customer_id"],
            "segment": _names(there["segment_id"], called),
            "segment_id": there["segment_id"],
            "confidence": there["confidence"],
            "runner_up": _names(there["runner_up"], called),
            "previous_segment": _names(there["previous"], called),
            "status": np.where(is_assessed, status, NOT_ASSESSED),
            "cause": there["cause"],
            "next_product": there["next_product"],
            "control": in_control(there["customer_id"]),
        }
    )


def _names(segments: pd.Series, called: Mapping[str, str]) -> pd.Series:
    """What segments are called: by their id where nobody knows any more."""
    return segments.map(called).fillna(segments)


def _at(segments: pd.Series, found: np.ndarray) -> np.ndarray:
    """The segment at each place; where there is none, whichever."""
    return _objects(segments)[found] if len(segments) else np.full(len(found), None)


def _objects(values: pd.Series) -> np.ndarray:
    return values.to_numpy(object)
