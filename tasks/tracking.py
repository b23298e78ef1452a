"""One month against the one before: who moved, and why."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from tasks.seeds import child_seed

CAUSES = ("correction", "refit", "boundary", "behaviour")
SURE = 0.9  # confidence below which a customer may be over the border to the runner-up by chance
NOISE = 0.05  # relative, of each number

_THEN: Mapping[str, str] = {
    **dict.fromkeys(("segment_id", "runner_up", "status", "since", "assessed"), "str"),
    **dict.fromkeys(("confidence", "value"), "float64"),
    "row_hash": "Int64",  # a float would lose its last digits
}
_CARRIED = ("segment_id", "confidence", "runner_up", "since", "assessed", "value", "row_hash")
_NOW: Mapping[str, str] = {
    **dict.fromkeys(("segment", "runner_up", "champion_segment", "challenger_segment"), "str"),
    **dict.fromkeys(("confidence", "value"), "float64"),
    "row_hash": "Int64",
}


def follow_customers(
    previous: pd.DataFrame | None,
    assigned: pd.DataFrame,
    month: pd.Period,
    *,
    set_aside: pd.Series,
    replaced: pd.DataFrame | None,
    alive: Collection[str],
    model: Literal["champion", "challenger"],
) -> pd.DataFrame:
    """Say of every customer of this month or the last who stayed, moved (and why), joined or left.

    Customers whose row was set aside are *not assessed*: they keep segment, confidence, since and
    the month in which they were last assessed, until they are back.

    Parameters
    ----------
    previous : DataFrame, optional
        Assignments of the publication compared with; none in a first month.
    assigned : DataFrame
        This month's customers: `customer_id, segment, confidence, runner_up, champion_segment,
        challenger_segment, value, row_hash`.
    month : Period
        This month.
    set_aside : Series
        Ids of the rows that were set aside; doubled and null ones do no harm.
    replaced : DataFrame, optional
        Assignments of the revision of this month that is replaced.
    alive : collection of str
        Segments that exist after this publication; whoever is not assessed and was in another
        one is in none.
    model : str
        Whose segments are published.

    Returns
    -------
    DataFrame
        One row per customer, by id: the columns of `assignments`, `previous_value`, and
        `was_assessed` (null for who joined). Who left has no segment.
    """
    ids = _everybody(assigned, previous)
    then, now = _aligned(previous, _THEN, ids), _aligned(assigned, _NOW, ids)
    corrected = _aligned(replaced, {"segment_id": "str"}, ids)["segment_id"]
    status = _statuses(then, now, ids.isin(set_aside))
    here, stayed = now["is_there"], status == "stayed"
    fresh = now.rename(columns={"segment": "segment_id"}).assign(
        since=then["since"].where(stayed, str(month)), assessed=str(month)
    )
    carried = _carried(then, status == "not_assessed", alive)
    followed = {name: fresh[name].where(here, carried[name]) for name in _CARRIED}
    causes = _causes(then, now, corrected, model).where(status == "moved")
    was_assessed = (then["status"] != "not_assessed").astype("boolean")
    return pd.DataFrame(
        {
            "segment_id": followed["segment_id"],
            "confidence": followed["confidence"],
            "runner_up": followed["runner_up"],
            "status": status,
            "cause": causes,
            "previous": then["segment_id"],
            "since": followed["since"],
            "assessed": followed["assessed"],
            "value": followed["value"],
            "row_hash": followed["row_hash"].astype("int64"),
            "previous_value": then["value"],
            "was_assessed": was_assessed.where(then["is_there"]),
        }
    ).reset_index()


def _everybody(assigned: pd.DataFrame, previous: pd.DataFrame | None) -> pd.Index:
    tables = [assigned] if previous is None else [assigned, previous]
    ids = pd.concat([table["customer_id"] for table in tables]).unique()
    return pd.Index(ids, dtype="str", name="customer_id").sort_values()


def _aligned(table: pd.DataFrame | None, types: Mapping[str, str], ids: pd.Index) -> pd.DataFrame:
    """A table's rows in the order of `ids`, null where it has none, and whether it has one."""
    if table is None:
        nothing = {name: pd.Series(index=ids, dtype=dtype) for name, dtype in types.items()}
        return pd.DataFrame(nothing, index=ids).assign(is_there=False)
    rows = table.set_index("customer_id")[list(types)].astype(types)
    is_there = rows.index.get_indexer(ids) >= 0  # `isin` takes ten times as long on texts
    return rows.reindex(ids).assign(is_there=is_there)


def _statuses(then: pd.DataFrame, now: pd.DataFrame, is_aside: np.ndarray) -> pd.Series:
    here, is_same = now["is_there"], now["segment"] == then["segment_id"]
    told = [
        ("joined", here & ~then["is_there"]),
        ("stayed", here & is_same),
        ("moved", here),
        ("not_assessed", is_aside),
    ]
    words, masks = zip(*told, strict=True)
    return pd.Series(np.select(masks, words, "left"), index=now.index, dtype="str")


def _carried(then: pd.DataFrame, kept: pd.Series, alive: Collection[str]) -> pd.DataFrame:
    """What stays on record of who is not here: nearly nothing, unless not assessed (`kept`)."""
    exists = {name: then[name].isin(list(alive)) for name in ("segment_id", "runner_up")}
    known = {name: then[name].where(exists.get(name, True) & kept) for name in _CARRIED}
    return pd.DataFrame(known).assign(assessed=then["assessed"], row_hash=then["row_hash"])


def _causes(then: pd.DataFrame, now: pd.DataFrame, corrected: pd.Series, model: str) -> pd.Series:
    """Why a customer would have moved: the first cause that holds."""
    differ = now["champion_segment"] != now["challenger_segment"]  # so does one that is null
    told = [
        corrected.notna() & (corrected != now["segment"]),
        then["segment_id"].isna() | (differ & (model == "challenger")),
        _is_at(then, now["segment"]) | _is_at(now, then["segment_id"]),
    ]
    return pd.Series(np.select(told, CAUSES[:-1], CAUSES[-1]), index=now.index, dtype="str")


def _is_at(month: pd.DataFrame, other: pd.Series) -> pd.Series:
    """Whether a customer lay at the border to the `other` segment: unsure, and it came next."""
    return (month["confidence"] < SURE) & (month["runner_up"] == other)


def migration(moves: pd.DataFrame) -> pd.DataFrame:
    """From which segment to which, in customers and value.

    Where `was_assessed` is true, the customers of a `previous` segment add up to its size last
    month; all lines with a known `was_assessed` to everybody on record then.

    Returns
    -------
    DataFrame
        `previous, was_assessed, segment, status, customers, value_before, value_now`; the first
        three are null where there is none. A sum of which no value is known is null.
    """
    keys = ["previous", "was_assessed", "segment", "status"]
    groups = moves.rename(columns={"segment_id": "segment"}).groupby(keys, dropna=False)
    table = (
        groups[["previous_value", "value"]]
        .sum(min_count=1)
        .set_axis(["value_before", "value_now"], axis=1)
    )
    table.insert(0, "customers", groups.size())
    return table.reset_index()


def churn_of(moves: pd.DataFrame) -> float | None:
    """Share who moved, of the customers compared; none where nobody could be compared."""
    counts = moves["status"].value_counts()
    moved, stayed = int(counts.get("moved", 0)), int(counts.get("stayed", 0))
    return moved / (moved + stayed) if moved + stayed else None


def moves_by_cause(moves: pd.DataFrame) -> dict[str, int]:
    """How many moved, by cause; every cause is named."""
    counts = moves["cause"].value_counts()
    return {cause: int(counts.get(cause, 0)) for cause in CAUSES}


# --------------------------------------------------------- what would move without any reason
def boundary_noise(
    assign: Callable[[pd.DataFrame], np.ndarray],
    clean: pd.DataFrame,
    numeric: Sequence[str],
    seed: int,
    noise: float = NOISE,
) -> float:
    """Share of customers whose segment changes when each of their numbers is a little off.

    Each number is multiplied by the exponential of a normal with standard deviation `noise`, so
    zeros stay zeros. A share may leave its bounds: `assign` clips where that matters.

    Parameters
    ----------
    assign : callable
        Customers, as `clean`, to positions of segments, (n_customers,).
    clean : DataFrame
        One row per customer.
    numeric : sequence of str
        The columns with numbers.
    seed : int
        The run's seed.
    """
    rng = np.random.default_rng(child_seed(seed, "boundary noise"))
    numbers = clean[list(numeric)].astype(float)
    disturbed = numbers * np.exp(rng.normal(0, noise, numbers.shape))
    noisy = clean.assign(**{str(name): disturbed[name] for name in numbers})
    return float(np.mean(np.asarray(assign(noisy)) != np.asarray(assign(clean))))


def refit_noise(champion: np.ndarray, challenger: np.ndarray) -> float | None:
    """Share of customers whom two models put into different segments.

    Both are ids, (n_customers,), of the same rows; where one is null the customer is left out.
    None where nobody is left.
    """
    known = pd.notna(champion) & pd.notna(challenger)
    if not known.any():
        return None
    return float(np.mean(np.asarray(champion)[known] != np.asarray(challenger)[known]))
