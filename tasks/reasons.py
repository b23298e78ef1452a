"""What marks a segment: how its customers differ from all others, in effect sizes and in words.

There are no p-values: these columns made the segments, so a test would always call them different.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from expectations.contract import Contract
from tasks.matching import sorted_ids
from tasks.profiling import value_shares

# The four-fifths rule: a rate below 4/5 of another is taken as a sign of adverse impact (US Equal
# Employment Opportunity Commission 1978, 29 CFR 1607.4 D). Above 5/4 it is the others' rate.
FOUR_FIFTHS = 0.8
MIN_POINTS = 0.05  # of difference in share: four fifths of very little is nothing
LONGEST_MEANING = 80  # letters

DIFFERENCES = ["segment", "column", "median", "elsewhere", "higher", "effect"]
DISPARITIES = ["column", "value", "segment", "share", "everyone", "ratio"]


class Compared(NamedTuple):
    """One column in each segment against all other customers, (k,) each; NaN where unknown."""

    median: np.ndarray
    elsewhere: np.ndarray
    higher: np.ndarray


def differences(segment: pd.Series, clean: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """How each segment's customers differ from all others, in every number of the contract.

    Parameters
    ----------
    segment : Series of str
        The segment of each customer, in the order of `clean`.
    clean : DataFrame
        One row per customer with the contract's columns; gaps are left out.
    contract : Contract
        Names the columns.

    Returns
    -------
    DataFrame
        One row per (segment, column), each segment's strongest first: `segment, column`, the
        `median` in the segment and `elsewhere`, the probability that a random customer of the
        segment has more than a random one elsewhere (`higher`, a tie counts half; Vargha and
        Delaney 2000, "A critique and improvement of the CL common language effect size
        statistics", JEBS 25), and `effect` = 2 higher - 1 (Cliff 1993, "Dominance statistics",
        Psychological Bulletin 114). Where there is nobody to compare with there is no row.
    """
    ids = sorted_ids(segment.dropna().unique())
    labels = pd.Categorical(segment, categories=ids).codes
    tables = [
        pd.DataFrame({"segment": ids, "column": name, **compared._asdict()})
        for name in contract.numeric
        for compared in [_compared(clean[name].to_numpy(float, na_value=np.nan), labels, len(ids))]
    ]
    table = pd.concat(tables).dropna(subset=["higher"])
    table = table.assign(effect=2 * table["higher"] - 1)
    place = table["segment"].map({of: place for place, of in enumerate(ids)})
    order = np.lexsort((-table["effect"].abs(), place))
    return table.iloc[order].reset_index(drop=True)[DIFFERENCES]


def _compared(values: np.ndarray, labels: np.ndarray, k: int) -> Compared:
    known = ~np.isnan(values) & (labels >= 0)
    values, labels = values[known], labels[known]
    inside = np.bincount(labels, minlength=k)
    outside = len(values) - inside
    rank_sums = np.bincount(labels, rankdata(values), minlength=k)
    wins = rank_sums - inside * (inside + 1) / 2  # of all pairs, a tie counts half
    with np.errstate(invalid="ignore"):  # 0 of 0 pairs: unknown
        higher = wins / (inside * outside)
    return Compared(
        np.array([_median(values[labels == one]) for one in range(k)]),
        np.array([_median(values[labels != one]) for one in range(k)]),
        higher,
    )


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else np.nan


def disparities(
    segment: pd.Series, clean: pd.DataFrame, contract: Contract, min_cell: int
) -> pd.DataFrame:
    """Where a segment's share of a category's or flag's value is far from everyone's.

    Parameters
    ----------
    segment : Series of str
        The segment of each customer, in the order of `clean`.
    clean : DataFrame
        One row per customer with the contract's columns; gaps are left out.
    contract : Contract
        Names the columns that describe.
    min_cell : int
        Nothing is told that stands for fewer customers, or leaves fewer of the segment aside; nor
        what would give such a count away together with the rest of its row or column.

    Returns
    -------
    DataFrame
        The strongest first: `column, value, segment`, the `share` of the value in the segment and
        of `everyone`, and their `ratio`: below `FOUR_FIFTHS` or above its inverse, and `MIN_POINTS`
        and more apart.
    """
    described = [n for n, c in contract.kept.items() if c.kind in ("category", "flag")]
    lines = [
        line
        for name in described
        for line in _disparities_of(clean[name], segment.set_axis(clean.index), min_cell)
    ]
    table = pd.DataFrame(lines, columns=DISPARITIES)
    ratio = table["ratio"].to_numpy(float)
    strength = np.maximum(ratio, 1 / np.maximum(ratio, 1e-9))
    return table.iloc[np.argsort(-strength, kind="stable")].reset_index(drop=True)


def _disparities_of(column: pd.Series, segment: pd.Series, min_cell: int) -> list[dict[str, Any]]:
    known = column.notna() & segment.notna()
    if not known.any():
        return []
    shares = value_shares(column[known], segment[known])  # (k, n_values)
    sizes = segment[known].value_counts().loc[shares.index]
    counts = shares.mul(sizes, axis=0).round().astype(int)
    everyone = counts.sum() / sizes.sum()
    ratios, points = (shares / everyone).round(9), (shares - everyone).abs().round(9)  # not .04999
    is_far = (ratios < FOUR_FIFTHS) | (ratios > 1 / FOUR_FIFTHS)
    is_far &= points >= MIN_POINTS
    told = _may_be_told(counts.to_numpy(), is_far.to_numpy(), min_cell)
    return [
        {
            "column": column.name,
            "value": shortened(
                str(shares.columns[value]).removeprefix(f"{column.name} = "), LONGEST_MEANING
            ),
            "segment": shares.index[of],
            "share": shares.iat[of, value],
            "everyone": everyone.iat[value],
            "ratio": ratios.iat[of, value],
        }
        for of, value in np.argwhere(told)
    ]


def _may_be_told(counts: np.ndarray, asked: np.ndarray, min_cell: int) -> np.ndarray:
    """Mask of the cells of `counts`, (k, n_values), that may be told among those `asked` for.

    Everyone's share and the sizes of the segments are known, so what a row or column leaves
    untold is known as a sum: that must not be small either. The smallest cells go first.
    """
    others = counts.sum(axis=1, keepdims=True) - counts
    told = asked & (counts >= min_cell)
    while True:
        few = [(~told * kind).sum(axis=0) < min_cell for kind in (counts, others)]
        bare_column = (few[0] | few[1]) & ~told.all(axis=0)
        bare_row = ((~told * counts).sum(axis=1) < min_cell) & ~told.all(axis=1)
        given_away = told & (bare_column | bare_row[:, None])
        if not given_away.any():
            return told
        smallest = np.where(given_away, counts, counts.max() + 1).argmin()
        told = told & (np.arange(told.size) != smallest).reshape(told.shape)


def in_words(difference: Mapping[str, Any], contract: Contract) -> str:
    """A row of `differences` as a sentence for who knows the business and no statistics."""
    name = difference["column"]
    here, there = (value_in_words(difference[of], contract, name) for of in ("median", "elsewhere"))
    return f"{meaning_of(name, contract)}: {here} against {there} elsewhere, {_pairs(difference)}"


def _pairs(difference: Mapping[str, Any]) -> str:
    higher = difference["higher"]
    side, share = ("higher", higher) if higher >= 0.5 else ("lower", 1 - higher)
    times = round(100 * share)
    if times == 50:
        return "as often higher as lower"
    if times == 100:
        return f"{side} in {'all' if share == 1 else 'nearly all'} comparisons"
    return f"{side} in {times} of 100 comparisons"


def meaning_of(name: str, contract: Contract, longest: int = LONGEST_MEANING) -> str:
    """What a column measures, in the contract's words, else in those of its name.

    What comes after a comma is left away where no other column is called by the rest.
    """
    meanings = {of: column.meaning for of, column in contract.kept.items()}
    whole = contract.columns[name].meaning
    short = whole.partition(",")[0]
    others = [meaning.partition(",")[0] for of, meaning in meanings.items() if of != name]
    return shortened(whole if short in others else short, longest) or words_of(name, longest)


def words_of(name: str, longest: int = LONGEST_MEANING) -> str:
    """A column's name as words: `AGE_AT_START` -> `age at start`."""
    spaced = name.replace("_", " ")
    return shortened(spaced.lower() if spaced.isupper() else spaced, longest)


def shortened(text: str, longest: int) -> str:
    """A text on one line, cut where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def value_in_words(value: float, contract: Contract, name: str) -> str:
    """A number of a column as people write it: 86%, 1,757, 7 months."""
    kind = contract.columns[name].kind
    if pd.isna(value):
        return "unknown"
    if kind == "share":
        return f"{value:.1%}" if 0 < abs(value) < 0.01 else f"{value:.0%}"
    number = f"{value:,.0f}" if abs(value) >= 10 or value == 0 else f"{value:.2g}"
    return f"{number} months" if kind == "months" else number
