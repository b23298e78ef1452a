"""One rule, and the commonest kinds of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd

from expectations.masks import ROW_TESTS, TABLE_TESTS, WITNESSES

Severity = Literal["set_aside", "warn", "ask", "refuse"]

ROW = "_row"
UNREADABLE = "_unreadable"
REFUSED = "_refused"  # witness column: 1.0 where a row breaks a rule that sets rows aside

NUMBER = ("float64",)
TEXT = ("str",)
YES_OR_NO = ("boolean", "bool")
FINITE = float(np.finfo(float).max)


@dataclass(frozen=True)
class Rule:
    """One thing that must be true of a stage's table.

    Parameters
    ----------
    id : str
        Unique within a stage, as `income.between`.
    test : str
        Key in `ROW_TESTS` or `TABLE_TESTS`.
    columns : tuple of str
        Columns it reads.
    severity : str
        What follows when it is broken: rows are set aside, or the month warns, asks, refuses.
    says : str
        What must be true, in words.
    arguments : mapping
        Parameters of the test.
    remedy : str
        What to do where it does not hold, as a sentence.
    """

    id: str
    test: str
    columns: tuple[str, ...]
    severity: Severity
    says: str
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    remedy: str = ""

    @property
    def is_about_rows(self) -> bool:
        """Whether single rows break it, rather than the table as a whole."""
        return self.test in ROW_TESTS

    def holds(self, table: pd.DataFrame) -> bool:
        """Whether the table, or each of its rows, keeps this rule."""
        if self.is_about_rows:
            return not self.broken(table).any()
        return TABLE_TESTS[self.test](table, self.columns, **self.arguments)

    def broken(self, table: pd.DataFrame) -> pd.Series:
        """Mask of rows (bool, indexed as `table`) that break this rule."""
        if self.is_about_rows:
            return ROW_TESTS[self.test](table, self.columns, **self.arguments)
        return pd.Series(not self.holds(table), index=table.index)

    def witness(self, table: pd.DataFrame) -> pd.Series | None:
        """The derived column on which the expectation is asked, where the rule needs one."""
        derive = WITNESSES.get(self.test)
        return None if derive is None else derive(table, self.columns, **self.arguments)


def has_columns(columns: tuple[str, ...], says: str) -> Rule:
    """The table has these columns, in this order and once each."""
    return Rule("columns", "has_columns", columns, "refuse", says)


def row_count(low: int, high: int, says: str = "", remedy: str = "") -> Rule:
    """The table has so many rows."""
    says = says or f"there are between {low:,} and {high:,} rows"
    return Rule("rows", "row_count", (), "refuse", says, {"low": low, "high": high}, remedy)


def has_type(name: str, types: tuple[str, ...], says: str) -> Rule:
    """A column has one of these pandas types."""
    arguments = {"types": types}
    return Rule(f"{name}.type", "has_type", (name,), "refuse", f"{name} is {says}", arguments)


def readable(name: str) -> Rule:
    """What stood in the source could be read."""
    says = f"{name} can be read"
    return Rule(f"{name}.readable", "readable", (UNREADABLE,), "set_aside", says, {"column": name})


def not_null(name: str, severity: Severity = "refuse") -> Rule:
    """No value is missing."""
    return Rule(f"{name}.not_null", "not_null", (name,), severity, f"{name} is not missing")


def between(
    name: str, low: float, high: float, severity: Severity = "refuse", what: str = "between"
) -> Rule:
    """Every value lies within bounds; a missing one does not break this."""
    says = f"{name} lies in {low:g} to {high:g}"
    arguments = {"low": low, "high": high}
    return Rule(f"{name}.{what}", "between", (name,), severity, says, arguments)


def unique(name: str, severity: Severity, says: str) -> Rule:
    """No value stands twice."""
    return Rule(f"{name}.unique", "unique", (name,), severity, says)


def one_of(id_: str, name: str, values: tuple[str, ...], severity: Severity, says: str) -> Rule:
    """Every value is among those that are known."""
    return Rule(id_, "one_of", (name,), severity, says, {"values": values})


def varies(name: str) -> Rule:
    """A column has at least two values, or nothing can be told apart by it."""
    says = f"{name} varies between customers"
    remedy = f"Fix the extract, or say use: describe for {name} in the contract."
    return Rule(f"{name}.varies", "distinct", (name,), "refuse", says, {"low": 2}, remedy)


def figure(name: str, test: str, low: float, high: float, says: str) -> Rule:
    """A column's mean, deviation or total lies within bounds."""
    return Rule(f"{name}.{test}", test, (name,), "refuse", says, {"low": low, "high": high})


def finite_number(name: str) -> list[Rule]:
    """A column holds a finite number in every row."""
    says, arguments = f"{name} is finite", {"low": -FINITE, "high": FINITE}
    finite = Rule(f"{name}.finite", "between", (name,), "refuse", says, arguments)
    return [has_type(name, NUMBER, "a number"), not_null(name), finite]


def bounded(name: str, low: float, high: float) -> list[Rule]:
    """A column is there in every row, within bounds."""
    return [not_null(name), between(name, low, high)]


def same_customers(id_column: str, ids: pd.Series) -> list[Rule]:
    """The rows are those of the step before, in the same order, and there are some."""
    rows = len(ids)
    return [
        some_customers(),
        row_count(rows, rows, f"all {rows:,} customers are there"),
        Rule(
            f"{id_column}.same",
            "equals",
            (id_column,),
            "refuse",
            "the customers are those of the step before, in the same order",
            {"values": ids},
        ),
    ]


def some_customers() -> Rule:
    """The table is not empty."""
    return Rule("customers", "row_count", (), "refuse", "there are customers", {"low": 1})
