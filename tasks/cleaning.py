"""Set broken rows aside and fill the gaps that the contract allows."""

from typing import Literal

import pandas as pd

from expectations.contract import Contract
from expectations.rules import UNREADABLE, row_rules
from tasks.outcome import Outcome

Statistic = Literal["median", "mean"]


def clean_customers(
    raw: pd.DataFrame, contract: Contract, statistic: Statistic = "median"
) -> Outcome:
    """One row per customer whose row breaks no rule that sets rows aside.

    Parameters
    ----------
    raw : DataFrame
        One row per source row without objection: id, the contract's columns, `_row`,
        `_unreadable`.
    contract : Contract
        Says which rules set rows aside.
    statistic : str
        What a gap is filled with: the column's median or mean.

    Returns
    -------
    Outcome
        `table` is `raw` without the broken rows, gaps in numbers filled; `log` has
        the number kept and set aside, and per column how many gaps were filled with what.
    """
    kept = raw[~broken_rows(raw, contract)].drop(columns=UNREADABLE).reset_index(drop=True)
    numbers = list(contract.numeric)
    gaps = kept[numbers].isna().sum()
    fillings = kept[numbers].agg(statistic)
    clean = kept.fillna(fillings)
    filled = {
        name: {"rows": int(gaps[name]), statistic: float(fillings[name])}
        for name in numbers
        if gaps[name] and pd.notna(fillings[name])
    }
    log = {"kept": len(clean), "quarantined": len(raw) - len(clean), "filled": filled}
    return Outcome(clean, log=log)


def broken_rows(raw: pd.DataFrame, contract: Contract) -> pd.Series:
    """Mask (bool, one per row) of rows that break a rule that sets rows aside."""
    broken = pd.Series(False, index=raw.index)
    for rule in row_rules(contract):
        if rule.severity == "set_aside":
            broken |= rule.broken(raw)
    return broken
