"""A month as it is published: its segments, who moved and why, and how far all has come."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from expectations.comparing import row_hashes
from expectations.contract import Contract
from expectations.rules import ROW
from tasks.clustering import CHALLENGER, CHAMPION
from tasks.drift import (
    birth_of,
    distance_from_birth,
    drift_of,
    moved_most,
    reference_of,
    segment_drift,
)
from tasks.matching import transitions
from tasks.model import SegmentModel
from tasks.naming import name_segments
from tasks.outcome import Outcome
from tasks.palette import colours_for
from tasks.products import without_care
from tasks.profiling import profile_segments, segment_lines
from tasks.tracking import (
    boundary_noise,
    churn_of,
    follow_customers,
    migration,
    moves_by_cause,
    refit_noise,
)


def publish_segments(
    segments: pd.DataFrame,
    clean: pd.DataFrame,
    raw: pd.DataFrame,
    quarantine: pd.DataFrame,
    contract: Contract,
    terms: Mapping[str, Any],
    previous: pd.DataFrame | None = None,
    replaced: pd.DataFrame | None = None,
    reference: Mapping[str, Any] | None = None,
    births: Mapping[str, Any] | None = None,
    champion: SegmentModel | None = None,
    offers: pd.DataFrame | None = None,
) -> Outcome:
    """Name and profile the segments, and compare every customer with last month.

    Parameters
    ----------
    segments : DataFrame
        The segments stage.
    clean : DataFrame
        The same customers in the same order, with the contract's columns.
    raw : DataFrame
        The raw stage: its numbers, as they were sent, are what next month compares with.
    quarantine : DataFrame
        Rows that were set aside.
    contract : Contract
        Names the value and says what each column measures.
    terms : mapping
        `month`, `whose` segments are published, their `ids`, those that were `born`, the `sizes`
        and the number `erased` of last month's, the `names` that persons gave, the `colours` of
        last month, the `seed`.
    previous, replaced : DataFrame, optional
        Assignments of the month compared with, and of the revision that is replaced.
    reference, births : mapping, optional
        The columns as they were last month, and each segment's definition at its birth.
    champion : SegmentModel, optional
        The published model.
    offers : DataFrame, optional
        The next product of each customer, in the same order; segments that are to be handled
        with care get none.

    Returns
    -------
    Outcome
        `table` is the publication stage: `profile_segments` and per segment what `name_segments`
        says, its colour, its change, how many joined, entered, left it or are gone, its part of
        the churn, and its distance from birth;
        `learned` the customers (`moves.parquet`), the migration matrix, and what the next month
        is held against; `log` the same in numbers and words.
    """
    whose, ids = terms["whose"], terms["ids"]
    published = segments.assign(
        **{name: segments[f"{whose}_{name}"] for name in ("segment", "confidence", "runner_up")}
    )
    segment = published["segment"].set_axis(clean.index)
    sent = raw.set_index(ROW).loc[clean[ROW]].set_axis(clean.index)  # gaps and all, as next month's
    named = name_segments(segment, clean, contract, ids, terms["names"]).set_index("segment")
    moves = follow_customers(
        previous,
        customers_of(published, clean, sent, contract),
        pd.Period(terms["month"], "M"),
        set_aside=quarantine[contract.id.column].dropna(),
        replaced=replaced,
        alive=ids,
        model=whose,
    )
    moves = moves.assign(next_product=_next_product(moves, segment, named, offers, contract))
    matrix = migration(moves)
    names = dict(zip(named.index.astype(str), named["name"], strict=True))
    profile = profile_segments(published, clean, contract, ids, names)
    definitions = birth_of(sent, contract, segment)
    born = {one: definitions[one] for one in terms["born"] if one in definitions}
    known = {one: birth for one, birth in {**(births or {}), **born}.items() if one in ids}
    colours = colours_for(ids, terms["colours"])
    table = profile.table.join(named.drop(columns="name"), on="segment").assign(
        colour=profile.table["segment"].map(colours),
        size_change=_size_change(profile.table, terms["sizes"]),
        from_birth=profile.table["segment"].map(
            distance_from_birth(known, sent, contract, segment)
        ),
        **_counts(moves, list(profile.table["segment"])),
    )
    log = {
        "segments": segment_lines(table),
        "value": _value(clean, contract),
        "changes": {
            **_changes(moves, previous, quarantine[contract.id.column]),
            "erased": dict(terms["erased"]),
            "noise": _noise(segments, clean, contract, terms, champion),
            "transitions": _transitions(moves),
            **_drift(reference, sent, contract, segment),
            "migration": lines_of(matrix),
        },
    }
    learned = {
        "moves.parquet": moves,
        "migration.parquet": matrix,
        "reference.json": reference_of(sent, contract, segment),
        "births.json": born,
    }
    return Outcome(table, learned, log)


def customers_of(
    published: pd.DataFrame, clean: pd.DataFrame, sent: pd.DataFrame, contract: Contract
) -> pd.DataFrame:
    """The month's customers as tracking wants them; hashes are of the numbers as they were sent."""
    nothing = pd.Series(np.nan, index=clean.index)
    value = nothing if contract.value is None else clean[contract.value].astype(float)
    return pd.DataFrame(
        {
            "customer_id": published[contract.id.column].to_numpy(object),
            "segment": published["segment"],
            "confidence": published["confidence"],
            "runner_up": published["runner_up"],
            "champion_segment": published["champion_segment"],
            "challenger_segment": published["challenger_segment"],
            "value": value.to_numpy(),
            "row_hash": row_hashes(sent, contract.numeric).to_numpy(),
        }
    )


def lines_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A small table as JSON values, null where nothing is known."""
    lines = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in line.items()} for line in lines]


def _next_product(
    moves: pd.DataFrame,
    segment: pd.Series,
    named: pd.DataFrame,
    offers: pd.DataFrame | None,
    contract: Contract,
) -> pd.Series:
    """What each customer may be offered; nothing to who is not here, or is handled with care."""
    if offers is None:
        return pd.Series(None, index=moves.index, dtype="str")
    offered = without_care(offers, segment, named.index[named["care"]])
    product = offered.set_index(contract.id.column)["next_product"]
    return moves["customer_id"].map(product.dropna()).astype("str")


def _value(clean: pd.DataFrame, contract: Contract) -> dict[str, Any] | None:
    """What all customers are worth together, and in which words."""
    if contract.value is None:
        return None
    meaning = contract.columns[contract.value].meaning or contract.value
    return {"meaning": meaning, "total": float(clean[contract.value].sum())}


def _size_change(profile: pd.DataFrame, sizes: Mapping[str, int]) -> pd.Series:
    """Relative change in size since last month; unknown for a segment that was not there."""
    before = profile["segment"].map(sizes).astype(float)
    return profile["size"] / before.where(before > 0) - 1


def _counts(moves: pd.DataFrame, ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Per segment, how many joined, entered, left it for another or are gone; its part of churn."""

    def count(rows: pd.Series, column: str) -> np.ndarray:
        counted = moves.loc[rows, column].value_counts()
        return counted.reindex(ids, fill_value=0).to_numpy(np.int64)

    status = moves["status"]
    moved, compared = status == "moved", int(status.isin(["moved", "stayed"]).sum())
    entered = count(moved, "segment_id")
    refitted = count(moved & (moves["cause"] == "refit"), "segment_id")
    return {
        "joined": count(status == "joined", "segment_id"),
        "entered": entered,
        "exited": count(moved, "previous"),
        "gone": count(status == "left", "previous"),
        "churn": entered / max(1, compared),
        "refit": refitted / max(1, compared),
    }


def _changes(
    moves: pd.DataFrame, previous: pd.DataFrame | None, set_aside: pd.Series
) -> dict[str, Any]:
    """Who moved, in numbers."""
    counts = moves["status"].value_counts()
    return {
        "compared": previous is not None,
        "churn": None if previous is None else churn_of(moves),
        "causes": {} if previous is None else moves_by_cause(moves),
        **{name: int(counts.get(name, 0)) for name in ("stayed", "moved", "joined", "left")},
        "not_assessed": int(counts.get("not_assessed", 0)),
        "without_id": int(set_aside.isna().sum()),
    }


def _noise(
    segments: pd.DataFrame,
    clean: pd.DataFrame,
    contract: Contract,
    terms: Mapping[str, Any],
    champion: SegmentModel | None,
) -> dict[str, Any] | None:
    """The churn that would be there if nobody had changed, and what it comes from."""
    if champion is None:
        return None
    if terms["whose"] == CHAMPION:
        noise = boundary_noise(
            lambda customers: champion.assign(customers).segment,
            clean,
            contract.numeric,
            terms["seed"],
        )
        return {"kind": "boundary", "share": noise}
    ids = (segments[f"{one}_segment"].to_numpy(object) for one in (CHAMPION, CHALLENGER))
    return {"kind": "refit", "share": refit_noise(*ids)}


def _transitions(moves: pd.DataFrame) -> list[dict[str, Any]]:
    both = moves[moves["status"].isin(["moved", "stayed"])].dropna(subset=["previous"])
    return transitions(both["previous"].to_numpy(object), both["segment_id"].to_numpy(object))


def _drift(
    reference: Mapping[str, Any] | None,
    sent: pd.DataFrame,
    contract: Contract,
    segment: pd.Series,
) -> dict[str, Any]:
    """How far the columns have come since last month, and what moved most in each segment."""
    if not reference:
        return {"drift": [], "moved_most": []}
    drift = drift_of(reference, sent, contract)
    by_segment = segment_drift(reference, sent, contract, segment)
    return {"drift": lines_of(drift.round(4)), "moved_most": moved_most(by_segment)}
