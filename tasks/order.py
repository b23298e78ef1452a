"""The order of months: what a run rests on, given what the segment store has published."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd


class Published(NamedTuple):
    """A publication of the store: one revision of one month."""

    run_id: str
    month: pd.Period
    revision: int
    status: str  # "published" or "withdrawn"
    replaced_by: str | None

    @property
    def stands(self) -> bool:
        """Whether it counts: neither withdrawn nor replaced by a later revision."""
        return self.status == "published" and self.replaced_by is None


class Base(NamedTuple):
    """What a run rests on; publishing checks that none of it has changed.

    Parameters
    ----------
    current : str or None
        The current publication when the run began.
    replaces : str or None
        The standing revision of the run's own month.
    champion : str or None
        The run whose model assigns the month, and whose registry gives the ids.
    previous, previous_month : str or None
        The newest standing revision of the newest month before, and that month as YYYY-MM: moves
        compare with it.
    is_older : bool
        The month lies before the current one: no challenger, and it never becomes current.
    gap : int
        Months missing between the previous month and this one.
    """

    current: str | None
    replaces: str | None
    champion: str | None
    previous: str | None
    previous_month: str | None
    is_older: bool
    gap: int


def rest_on(publications: Sequence[Published], current: str | None, month: pd.Period) -> Base:
    """What a run of `month` rests on. Raises `ValueError` if `current` does not stand."""
    standing = {one.month: one for one in publications if one.stands}
    now = next((one for one in standing.values() if one.run_id == current), None)
    if current is not None and now is None:
        raise ValueError(f"the current publication {current} is replaced, withdrawn or unknown")
    replaced = standing.get(month)
    previous = standing[max(before)] if (before := [m for m in standing if m < month]) else None
    is_older = now is not None and month < now.month
    champion = replaced or now
    if replaced is None and is_older:
        champion = previous or standing[min(standing)]
    return Base(
        current=current,
        replaces=replaced and replaced.run_id,
        champion=champion and champion.run_id,
        previous=previous and previous.run_id,
        previous_month=previous and str(previous.month),
        is_older=is_older,
        gap=month.ordinal - previous.month.ordinal - 1 if previous else 0,
    )
