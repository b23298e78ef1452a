"""Numbers about segments: sizes, medians, shares of value."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from expectations.contract import Contract
from tasks.matching import sorted_ids
from tasks.outcome import Outcome

MOST_VALUES = 12  # of a category, the commonest; the others are one line
TOLD = (
    *("segment", "name", "size", "share", "value_share", "size_change", "from_birth"),
    *("persona", "code", "care", "matched", "retention", "campaign", "colour"),
)


NO_NAMES: Mapping[str, str] = MappingProxyType({})


def profile_segments(
    segments: pd.DataFrame,
    clean: pd.DataFrame,
    contract: Contract,
    ids: Sequence[str] = (),
    names: Mapping[str, str] = NO_NAMES,
) -> Outcome:
    """One line per segment: size, share, value, and what its customers are like.

    Parameters
    ----------
    segments : DataFrame
        One row per customer with `segment`.
    clean : DataFrame
        The same customers in the same order, with the contract's columns.
    contract : Contract
        Names the value and says what each column measures.
    ids : sequence of str
        Every segment there is, also one in which nobody is; empty: those of the customers.
    names : mapping
        The names that persons gave; without one a segment is called by its id.

    Returns
    -------
    Outcome
        `table` is the publication stage: `segment, name, size, share, size_change, value,
        value_share`, then a column's median under the column's own name, and for a category
        or flag the share of its values as `COLUMN = value` (among those not missing); `log`
        the segments in short.
    """
    segment = segments["segment"].set_axis(clean.index)
    sizes = segment.value_counts().sort_index()
    sizes = sizes.reindex(sorted_ids(ids), fill_value=0) if ids else sizes
    profile = pd.DataFrame(
        {
            "name": [names.get(one, one) for one in sizes.index],
            "size": sizes,
            "share": sizes / sizes.sum(),
            "size_change": float("nan"),
            **_value(segment, clean, contract),
        }
    )
    medians = clean[list(contract.numeric)].groupby(segment).median()
    shares = [
        value_shares(clean[name], segment)
        for name, column in contract.kept.items()
        if column.kind in ("category", "flag")
    ]
    table = pd.concat([profile, medians, *shares], axis=1).rename_axis("segment").reset_index()
    return Outcome(table, log={"segments": segment_lines(table)})


def segment_lines(publication: pd.DataFrame) -> list[dict[str, object]]:
    """The segments as JSON values, as far as they are known: those of `TOLD`, as `id` the first."""
    lines = publication[[name for name in TOLD if name in publication]]
    lines = lines.rename(columns={"segment": "id"}).astype(object)
    known = lines.where(lines.notna(), None).to_dict("records")
    return [{str(key): value for key, value in line.items()} for line in known]


def _value(segment: pd.Series, clean: pd.DataFrame, contract: Contract) -> dict[str, pd.Series]:
    if contract.value is None:
        unknown = pd.Series(float("nan"), index=segment.unique())
        return {"value": unknown, "value_share": unknown}
    value = clean[contract.value].groupby(segment).sum()
    total = value.sum()
    return {"value": value, "value_share": value / total if total else value * float("nan")}


def value_shares(column: pd.Series, segment: pd.Series) -> pd.DataFrame:
    """Shares of a category's or flag's values per segment, (k, n_values); rare ones pooled."""
    common = column.value_counts().index[:MOST_VALUES]
    pooled = column.astype(object).where(column.isna() | column.isin(common), "(other)")
    counts = pd.crosstab(segment, pooled)
    shares = counts.div(counts.sum(axis=1), axis=0)
    words = {True: "yes", False: "no"}
    return shares.rename(columns=lambda value: f"{column.name} = {words.get(value, value)}")
