"""Rows that fit nowhere, planted in a table of card customers: ten kinds, every bound kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

MONEY = [
    "BALANCE",
    "PURCHASES",
    "ONEOFF_PURCHASES",
    "INSTALLMENTS_PURCHASES",
    "CASH_ADVANCE",
    "CREDIT_LIMIT",
    "PAYMENTS",
]
SHARES = ["BALANCE_FREQUENCY", "PURCHASES_FREQUENCY", "PRC_FULL_PAYMENT"]
COLUMNS = [*MONEY, *SHARES, "PURCHASES_TRX", "TENURE"]

Oddity = Callable[[pd.DataFrame, pd.DataFrame, np.random.Generator], pd.DataFrame]


class Planted(NamedTuple):
    """A table with odd rows, and the kind of each row ("" for one left as it was)."""

    table: pd.DataFrame
    kinds: np.ndarray


def swap(one: str, other: str) -> Oddity:
    """Give an oddity whose two columns hold each other's values."""

    def swapped(rows: pd.DataFrame, _: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        return rows.assign(**{one: rows[other], other: rows[one]})

    return swapped


def enlarged(rows: pd.DataFrame, clean: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """A hundred times the amount in one column of money that is not 0."""
    amounts = rows[MONEY].to_numpy(copy=True)
    chance = rng.random(amounts.shape) * (amounts > 0)
    amounts[np.arange(len(rows)), chance.argmax(axis=1)] *= 100
    return rows.assign(**dict(zip(MONEY, amounts.T, strict=True)))


def halves(rows: pd.DataFrame, clean: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Half of the columns, drawn for each row, belong to another customer."""
    others = clean.sample(len(rows), random_state=rng)[COLUMNS].to_numpy()
    is_own = rng.permuted(np.tile(np.arange(len(COLUMNS)) % 2 == 0, (len(rows), 1)), axis=1)
    mixed = np.where(is_own, rows[COLUMNS].to_numpy(), others)
    return rows.assign(**dict(zip(COLUMNS, mixed.T, strict=True)))


def uncounted(rows: pd.DataFrame, clean: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Purchases that never took place; where there are none, purchases for nothing."""
    is_frequent = np.where(rows["PURCHASES"] > 0, 0.0, 1.0)
    return rows.assign(PURCHASES_FREQUENCY=is_frequent, PURCHASES_TRX=12 * is_frequent)


def shuffled(rows: pd.DataFrame, clean: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The block of purchases, each column of it in an order of its own."""
    block = [name for name in COLUMNS if "PURCHASES" in name]
    drawn = {name: rng.choice(clean[name].to_numpy(), len(rows)) for name in block}
    return rows.assign(**drawn)


def in_cents(rows: pd.DataFrame, clean: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """All money in another unit: a hundredth."""
    return rows.assign(**(rows[MONEY] / 100))


def displaced(rows: pd.DataFrame, clean: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Payments hold the credit limit."""
    return rows.assign(PAYMENTS=rows["CREDIT_LIMIT"])


def inverted(rows: pd.DataFrame, clean: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Shares of months without, in place of shares with."""
    return rows.assign(**(1 - rows[SHARES]))


def uniform(rows: pd.DataFrame, clean: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Anything within the bounds, as likely as anything else."""
    low, high = clean[COLUMNS].min(), clean[COLUMNS].max()
    drawn = rng.uniform(low, high, (len(rows), len(COLUMNS)))
    return rows.assign(**dict(zip(COLUMNS, drawn.T, strict=True)))


ODDITIES: Mapping[str, Oddity] = MappingProxyType(
    {
        "purchases and cash advances swapped": swap("PURCHASES", "CASH_ADVANCE"),
        "balance and payments swapped": swap("BALANCE", "PAYMENTS"),
        "x 100 in one column": enlarged,
        "two customers' halves": halves,
        "purchases without a count": uncounted,
        "a block of columns shuffled": shuffled,
        "another unit in all money": in_cents,
        "the limit in place of payments": displaced,
        "frequencies inverted": inverted,
        "uniform within the bounds": uniform,
    }
)


def plant(clean: pd.DataFrame, share: float, rng: np.random.Generator) -> Planted:
    """Make this share of the rows odd, as many of each kind, all columns within their bounds.

    A row that its oddity happens to leave as it was counts as clean.
    """
    numbers = clean[COLUMNS].astype(float)
    per_kind = max(1, round(share * len(clean) / len(ODDITIES)))
    places = rng.choice(len(clean), (len(ODDITIES), per_kind), replace=False)
    kinds = np.full(len(clean), "", dtype=object)
    odd = numbers.copy()
    for (kind, oddity), rows in zip(ODDITIES.items(), places, strict=True):
        odd.iloc[rows] = oddity(numbers.iloc[rows], numbers, rng)
        kinds[rows] = kind
    odd = odd.clip(numbers.min(), numbers.max(), axis=1)
    kinds[(odd == numbers).all(axis=1)] = ""
    return Planted(clean.assign(**{name: odd[name] for name in COLUMNS}), kinds)
