"""Products: who uses which, and who does not use one but looks like those who do."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from expectations.contract import Contract
from expectations.parts import Product
from tasks.look_alikes import compare
from tasks.outcome import Outcome
from tasks.scaling import business_columns
from tasks.seeds import child_seed

FEWEST = 50  # users, and as many who are not: ten of each to a fold
MIN_LEAD = 0.05  # of the trees' AUC over that of the segment's penetration
# Looks more like a user than a quarter of the users do. So of users whose use was not seen three
# in four would be offered it; of those who do not use it, one in six on the reference table.
MIN_LIKENESS = 0.25


class LookAlikes(NamedTuple):
    """What is known of one product.

    Parameters
    ----------
    likeness : ndarray, (n_customers,)
        The share of users who look less like a user; NaN for users, and where it is not shown.
    line : mapping
        What was measured, JSON values only.
    """

    likeness: np.ndarray
    line: Mapping[str, Any]


def is_used(clean: pd.DataFrame, product: Product) -> np.ndarray:
    """Who uses the product, (n_customers,): any of its columns is above 0."""
    return (clean[list(product.columns)] > 0).any(axis=1).to_numpy(bool)


def product_use(
    segment: pd.Series, clean: pd.DataFrame, contract: Contract, min_cell: int
) -> pd.DataFrame:
    """Use of each product per segment against everyone.

    Parameters
    ----------
    segment : Series of str
        The segment of each customer, in the order of `clean`.
    clean : DataFrame
        One row per customer with the contract's columns.
    contract : Contract
        Names the products.
    min_cell : int
        A share is null where fewer use the product, or fewer do not: none and all are told of
        nobody either. So are further shares that would give a null one away.

    Returns
    -------
    DataFrame
        One row per (product, segment): `segment, product, care`, the `share` who use it, that of
        `everyone`, and the `ratio` of the two.
    """
    labels = segment.to_numpy()
    lines = [
        line
        for product in contract.products
        for line in _use_of(product, is_used(clean, product), labels, min_cell)
    ]
    return pd.DataFrame(lines, columns=["segment", "product", "care", "share", "everyone", "ratio"])


def _use_of(
    product: Product, uses: np.ndarray, labels: np.ndarray, min_cell: int
) -> list[dict[str, Any]]:
    counts = pd.DataFrame({"users": uses, "others": ~uses}).groupby(labels).sum()
    shares = (counts["users"] / counts.sum(axis=1)).mask(_is_hidden(counts, min_cell))
    everyone = uses.mean() if counts.sum().min() >= min_cell else np.nan
    return [
        {
            "segment": of,
            "product": product.name,
            "care": product.care,
            "share": share,
            "everyone": everyone,
            "ratio": share / everyone,
        }
        for of, share in shares.items()
    ]


def _is_hidden(counts: pd.DataFrame, min_cell: int) -> pd.Series:
    """Mask of the segments, (k,), of which it is not told how many are `users` and `others`.

    All who are not told of are together at least `min_cell` of both kinds: their sum follows from
    everyone's share. The smallest segments lose their figure first.
    """
    few = (counts < min_cell).any(axis=1)
    ranked = counts.assign(told=~few, size=counts.sum(axis=1)).sort_values(["told", "size"])
    too_few = (ranked[["users", "others"]].cumsum() < min_cell).any(axis=1)
    n_hidden = max(few.sum(), too_few.sum() + 1) if few.any() else 0
    return pd.Series(counts.index.isin(ranked.index[:n_hidden]), index=counts.index)


def next_products(
    clean: pd.DataFrame, contract: Contract, k: int, seed: int, min_cell: int = 5
) -> Outcome:
    """Recommend to each customer the product that it does not use and most looks like using.

    Parameters
    ----------
    clean : DataFrame
        One row per customer with the contract's columns; gaps are no trouble.
    contract : Contract
        Names the id and the products.
    k : int
        Segments of the segmentation whose penetration is the yardstick.
    seed : int
        The run's seed; the order of the rows plays no part.
    min_cell : int
        Counts below it are null in the log.

    Returns
    -------
    Outcome
        `table` has the id, `next_product` (null where there is none) and `likeness`, the share of
        the product's users who look less like one; `log` has `products`, and of each `product,
        care, users` (their share), `auc, penetration_auc, lead, shown, offered` (customers) and
        `why`.
    """
    order = clean[contract.id.column].argsort().to_numpy()
    found = [
        look_alikes(clean.iloc[order], product, contract, k, seed, min_cell)
        for product in contract.products
    ]
    place = np.argsort(order)
    likeness = {str(one.line["product"]): one.likeness[place] for one in found}
    offers = _best_of(pd.DataFrame(likeness, index=range(len(clean))))
    table = pd.concat([clean[[contract.id.column]].reset_index(drop=True), offers], axis=1)
    lines = offers_counted([one.line for one in found], table, min_cell)
    return Outcome(table, log={"products": lines})


def _best_of(likeness: pd.DataFrame) -> pd.DataFrame:
    """The product with the highest likeness, (n_customers, n_products), that reaches the least."""
    offered = likeness.where(likeness >= MIN_LIKENESS)
    best = offered.max(axis=1).astype(float)
    name = offered.fillna(-1).idxmax(axis=1) if len(offered.columns) else best.astype("str")
    return pd.DataFrame({"next_product": name.where(best.notna()).astype("str"), "likeness": best})


def offers_counted(
    lines: Iterable[Mapping[str, Any]], table: pd.DataFrame, min_cell: int
) -> list[dict[str, Any]]:
    """The lines of the log with the customers in `table` to whom each product is `offered`."""
    counts = table["next_product"].value_counts()
    offered = {name: int(n) if n >= min_cell else None for name, n in counts.items()}
    return [{**line, "offered": offered.get(line["product"], 0)} for line in lines]


def without_care(
    table: pd.DataFrame, segment: pd.Series, care_ids: Collection[str]
) -> pd.DataFrame:
    """The table of `next_products` without offers to customers of these segments."""
    in_care = segment.isin(care_ids).to_numpy()
    blank = {name: table[name].mask(in_care) for name in ("next_product", "likeness")}
    return table.assign(**blank)


def look_alikes(
    clean: pd.DataFrame, product: Product, contract: Contract, k: int, seed: int, min_cell: int
) -> LookAlikes:
    """Measure who looks like a user of one product, and whether that may be shown.

    Both scores see every number of the contract but the product's own columns and totals, money
    and counts as log1p.
    """
    uses = is_used(clean, product)
    own = {*product.columns, *product.totals}
    numbers = business_columns(clean, contract).drop(columns=list(own))
    X = numbers.dropna(axis="columns", how="all").to_numpy()  # (n_customers, n_columns)
    likeness, auc, baseline, lead = np.full(len(uses), np.nan), None, None, None
    why_not = _why_not_measured(product, uses, X.shape[1])
    if not why_not:
        score, auc, baseline = compare(X, uses, k, child_seed(seed, "products", product.name))
        lead = auc - baseline
        if lead >= MIN_LEAD:
            likeness = share_below(score, uses)
        else:
            why_not = f"leads the segment's penetration by {lead:.2f}, not by {MIN_LEAD:.2f}"
    told = min(uses.sum(), (~uses).sum()) >= min_cell
    line = {
        "product": product.name,
        "care": product.care,
        "users": float(uses.mean()) if told else None,
        "auc": auc,
        "penetration_auc": baseline,
        "lead": lead,
        "shown": not why_not,
        "why": why_not or f"leads the segment's penetration by {lead:.2f}",
    }
    return LookAlikes(likeness, line)


def _why_not_measured(product: Product, uses: np.ndarray, n_columns: int) -> str:
    if product.care:
        return "marked care: never recommended"
    if uses.sum() < FEWEST:
        return f"fewer than {FEWEST} customers use it"
    if (~uses).sum() < FEWEST:
        return f"fewer than {FEWEST} customers do not use it"
    return "" if n_columns else "no column is left to tell its users by"


def share_below(score: np.ndarray, uses: np.ndarray) -> np.ndarray:
    """Share of the users whose score is lower, (n_customers,); NaN for users themselves."""
    below = np.searchsorted(np.sort(score[uses]), score, side="left") / uses.sum()
    return np.where(uses, np.nan, below)
