"""Rules of each stage, and their plain face: which rows break them.

A rule has two faces. This module holds the one in plain pandas: the mask of rows that break a
row rule, or whether a table rule holds. `expectations.suites` gives the same rules to Great
Expectations. Nulls break `not_null` and nothing else, so that each defect has one reason.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from expectations.contract import Column, Contract

Severity = Literal["set_aside", "warn", "ask", "refuse"]

ROW = "_row"
UNREADABLE = "_unreadable"
REFUSED = "_refused"  # witness column: 1.0 where a row breaks a rule that sets rows aside
FEW_REFUSED = "few_refused"


class Limits(BaseModel):
    """How much a month may ask of its reader's patience."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_quarantine_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        title="Rows that may be set aside",
        description="Share of the source's rows; with more broken rows the month is refused.",
    )
    min_smallest_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        title="Smallest segment",
        description="Share of customers that the smallest segment must have.",
    )
    warn_row_change: float = Field(
        default=0.30,
        gt=0,
        title="Row count against last month: warn",
        description="Relative change beyond which the month is marked.",
    )
    refuse_row_factor: float = Field(
        default=3,
        gt=1,
        title="Row count against last month: refuse",
        description="Factor, up or down, beyond which the month is refused.",
    )
    min_cell: int = Field(
        default=5,
        ge=1,
        title="Smallest count shown",
        description="Counts of customers below this are shown as '< 5'.",
    )


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
    """

    id: str
    test: str
    columns: tuple[str, ...]
    severity: Severity
    says: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_about_rows(self) -> bool:
        """Whether single rows break it, rather than the table as a whole."""
        return self.test in ROW_TESTS

    def broken(self, table: pd.DataFrame) -> pd.Series:
        """Mask of rows (bool, indexed as `table`) that break this rule."""
        if self.is_about_rows:
            return ROW_TESTS[self.test](table, self.columns, **self.arguments)
        holds = TABLE_TESTS[self.test](table, self.columns, **self.arguments)
        return pd.Series(not holds, index=table.index)

    def witness(self, table: pd.DataFrame) -> pd.Series | None:
        """The derived column on which the expectation is asked, where the rule needs one."""
        derive = WITNESSES.get(self.test)
        return None if derive is None else derive(table, self.columns, **self.arguments)


# ---------------------------------------------------------------- row tests: which rows break it
def _null(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series:
    return table[columns[0]].isna()


def _outside(table: pd.DataFrame, columns: tuple[str, ...], low: float, high: float) -> pd.Series:
    values = table[columns[0]]
    return (values < low) | (values > high)


def _fraction(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series:
    return _distance_to_whole(table, columns) > 0


def _doubled(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series:
    values = table[columns[0]]
    return values.duplicated(keep=False) & values.notna()


def _malformed(table: pd.DataFrame, columns: tuple[str, ...], pattern: str) -> pd.Series:
    values = table[columns[0]].astype(object)
    return ~values.astype(str).str.match(anchored(pattern)) & values.notna()


def _not_among(table: pd.DataFrame, columns: tuple[str, ...], values: tuple) -> pd.Series:
    found = table[columns[0]]
    return ~found.isin(list(values)) & found.notna()


def _unread(table: pd.DataFrame, columns: tuple[str, ...], column: str) -> pd.Series:
    return _was_unread(table, columns, column) > 0


def _adds_up_to_else(
    table: pd.DataFrame, columns: tuple[str, ...], tolerance: float
) -> pd.Series:
    return _residual(table, columns) > tolerance


def _apart(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series:
    known = table[list(columns)].notna().all(axis=1)
    positive = (table[list(columns)] > 0).sum(axis=1)
    return known & (positive > 0) & (positive < len(columns))


def _exceeds(table: pd.DataFrame, columns: tuple[str, ...], factor: float) -> pd.Series:
    smaller, larger = columns
    return table[smaller] > factor * table[larger]


def _differs(table: pd.DataFrame, columns: tuple[str, ...], values: pd.Series) -> pd.Series:
    return _mismatch(table, columns, values) > 0


def _outside_where(
    table: pd.DataFrame, columns: tuple[str, ...], low: float, high: float
) -> pd.Series:
    values = _where(table, columns)
    return (values < low) | (values > high)


def _rare(table: pd.DataFrame, columns: tuple[str, ...], low: float) -> pd.Series:
    return _share_of_its_value(table, columns) < low


ROW_TESTS: Mapping[str, Callable[..., pd.Series]] = {
    "not_null": _null,
    "between": _outside,
    "whole": _fraction,
    "unique": _doubled,
    "matches": _malformed,
    "one_of": _not_among,
    "readable": _unread,
    "sum": _adds_up_to_else,
    "together": _apart,
    "at_most": _exceeds,
    "equals": _differs,
    "between_where": _outside_where,
    "common": _rare,
}


# ------------------------------------------- witnesses: columns derived for Great Expectations
def _distance_to_whole(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series:
    values = table[columns[0]].astype(float)
    return (values - values.round()).abs()


def _was_unread(table: pd.DataFrame, columns: tuple[str, ...], column: str) -> pd.Series:
    texts = table[columns[0]]
    unread = pd.Series(0.0, index=table.index)
    noted = texts[texts.notna()]
    unread[noted.index] = [float(bool({column, "*"} & set(json.loads(t)))) for t in noted]
    return unread


def _residual(table: pd.DataFrame, columns: tuple[str, ...], **_: float) -> pd.Series:
    total, *parts = columns
    return (table[total] - table[parts].sum(axis=1, skipna=False)).abs()


def _positive_share(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series:
    known = table[list(columns)].notna().all(axis=1)
    positive = (table[list(columns)] > 0).sum(axis=1).astype(float)
    return positive.where(known)


def _excess(table: pd.DataFrame, columns: tuple[str, ...], factor: float) -> pd.Series:
    smaller, larger = columns
    return table[smaller] - factor * table[larger]


def _mismatch(table: pd.DataFrame, columns: tuple[str, ...], values: pd.Series) -> pd.Series:
    found, wanted = table[columns[0]].to_numpy(object), values.to_numpy(object)
    if len(found) != len(wanted):
        return pd.Series(1.0, index=table.index)
    return pd.Series((found != wanted).astype(float), index=table.index)


def _where(table: pd.DataFrame, columns: tuple[str, ...], **_: float) -> pd.Series:
    value, condition = columns
    return table[value].where(table[condition].astype(bool))


def _share_of_its_value(table: pd.DataFrame, columns: tuple[str, ...], **_: float) -> pd.Series:
    values = table[columns[0]]
    return values.map(values.value_counts(normalize=True)).astype(float)


WITNESSES: Mapping[str, Callable[..., pd.Series]] = {
    "whole": _distance_to_whole,
    "readable": _was_unread,
    "sum": _residual,
    "together": _positive_share,
    "at_most": _excess,
    "equals": _mismatch,
    "between_where": _where,
    "common": _share_of_its_value,
}


# ------------------------------------------------------------- table tests: whether they hold
def _has_columns(table: pd.DataFrame, columns: tuple[str, ...]) -> bool:
    return tuple(table.columns) == columns


def _has_type(table: pd.DataFrame, columns: tuple[str, ...], types: tuple[str, ...]) -> bool:
    return str(table[columns[0]].dtype) in types


def _row_count(table: pd.DataFrame, columns: tuple[str, ...], low: int, high: int) -> bool:
    return low <= len(table) <= high


def _distinct(
    table: pd.DataFrame, columns: tuple[str, ...], low: int, high: int | None = None
) -> bool:
    found = table[columns[0]].nunique()
    return low <= found and (high is None or found <= high)


def _null_share(table: pd.DataFrame, columns: tuple[str, ...], high: float) -> bool:
    return bool(table[columns[0]].isna().mean() <= high)


def _mean(table: pd.DataFrame, columns: tuple[str, ...], low: float, high: float) -> bool:
    return bool(low <= table[columns[0]].mean() <= high)


def _deviation(table: pd.DataFrame, columns: tuple[str, ...], low: float, high: float) -> bool:
    return bool(low <= table[columns[0]].std() <= high)


def _total(table: pd.DataFrame, columns: tuple[str, ...], low: float, high: float) -> bool:
    return bool(low <= table[columns[0]].sum() <= high)


TABLE_TESTS: Mapping[str, Callable[..., bool]] = {
    "has_columns": _has_columns,
    "has_type": _has_type,
    "row_count": _row_count,
    "distinct": _distinct,
    "null_share": _null_share,
    "mean": _mean,
    "deviation": _deviation,
    "total": _total,
}


# --------------------------------------------------------------------- the rules of each stage
NUMBER = ("float64",)
TEXT = ("str",)
_FINITE = np.finfo(float).max


def raw_rules(
    contract: Contract, limits: Limits, last_rows: int | None = None
) -> tuple[Rule, ...]:
    """What a source must satisfy; `last_rows` is the row count of last month, if known."""
    columns = (contract.id.column, *contract.kept, ROW, UNREADABLE)
    return (
        Rule("columns", "has_columns", columns, "refuse", "the table has the contract's columns, once each"),
        _row_count_rule(contract.rows.low, contract.rows.high),
        *_row_change_rules(limits, last_rows),
        *row_rules(contract),
        *(rule for name, column in contract.kept.items() for rule in _table_rules(name, column)),
        Rule(
            FEW_REFUSED,
            "mean",
            (REFUSED,),
            "refuse",
            f"at most {limits.max_quarantine_share:.2%} of the rows are set aside",
            {"low": 0.0, "high": limits.max_quarantine_share},
        ),
    )


def row_rules(contract: Contract) -> tuple[Rule, ...]:
    """The rules that single customers can break: asked of a source, and in scoring."""
    return (
        *_id_rules(contract),
        *(rule for name, column in contract.kept.items() for rule in _column_rules(name, column)),
        *(
            Rule(i.name, i.test, i.columns, i.severity, i.says or i.name, _arguments(i))
            for i in contract.rules
        ),
    )


def clean_rules(contract: Contract, rows: int) -> tuple[Rule, ...]:
    """What clean customers satisfy: every one that was kept, no gap, no broken rule.

    `rows` is the number of source rows without objection less those set aside.
    """
    kept = [
        Rule(rule.id, rule.test, rule.columns, "refuse", rule.says, rule.arguments)
        for rule in row_rules(contract)
        if rule.severity == "set_aside" and rule.test != "readable"
    ]
    gaps = [
        _not_null(name, "refuse")
        for name in contract.numeric
        if contract.kept[name].max_null_share
    ]
    columns = (contract.id.column, *contract.kept, ROW)
    return (
        Rule("columns", "has_columns", columns, "refuse", "the table has the contract's columns, once each"),
        _row_count_rule(rows, rows, "rows in are rows kept and rows set aside"),
        *kept,
        *gaps,
    )


def scaled_rules(ids: pd.Series, id_column: str, features: tuple[str, ...]) -> tuple[Rule, ...]:
    """What scaled features satisfy on a fit: the declared ones, finite, mean 0 and sd 1."""
    rules = [
        Rule("columns", "has_columns", (id_column, *features), "refuse", "the table has the declared features"),
        Rule(
            "enough_features",
            "row_count",
            (),
            "refuse",
            "there are customers",
            {"low": 1, "high": len(ids)},
        ),
        *_same_customers(id_column, ids),
    ]
    for name in features:
        rules += _finite_number(name)
        rules += [
            Rule(f"{name}.varies", "distinct", (name,), "refuse", f"{name} varies", {"low": 2}),
            Rule(
                f"{name}.mean",
                "mean",
                (name,),
                "refuse",
                f"{name} has mean 0",
                {"low": -1e-6, "high": 1e-6},
            ),
            Rule(
                f"{name}.deviation",
                "deviation",
                (name,),
                "refuse",
                f"{name} has standard deviation 1",
                {"low": 0.99, "high": 1.01},
            ),
        ]
    return tuple(rules)


def selection_rules(limits: Limits, pinned: int) -> tuple[Rule, ...]:
    """What the candidates satisfy: one is chosen, and meets the thresholds or was asked for.

    `pinned` is the number of segments that the caller set, 0 if it was left to the choice.
    """
    smallest = Rule(
        "chosen.smallest_share",
        "between_where",
        ("smallest_share", "chosen"),
        "warn" if pinned else "refuse",
        f"the chosen candidate's smallest segment holds {limits.min_smallest_share:.0%} or more"
        + (f" (k = {pinned} was asked for)" if pinned else ""),
        {"low": limits.min_smallest_share, "high": 1.0},
    )
    return (
        _row_count_rule(1, 10_000, "there are candidates"),
        Rule(
            "chosen.once",
            "total",
            ("chosen",),
            "refuse",
            "exactly one candidate is chosen",
            {"low": 1.0, "high": 1.0},
        ),
        *(_bounded("k", 2, 1000)),
        *(_bounded("silhouette", -1, 1)),
        *(_bounded("inertia", 0, _FINITE)),
        smallest,
    )


def embedding_rules(
    ids: pd.Series, id_column: str, dimensions: tuple[str, ...]
) -> tuple[Rule, ...]:
    """What coordinates satisfy: finite, no dead dimension, the same customers."""
    rules = [
        Rule("columns", "has_columns", (id_column, *dimensions), "refuse", "the table has the coordinates"),
        *_same_customers(id_column, ids),
    ]
    for name in dimensions:
        rules += _finite_number(name)
        rules.append(
            Rule(
                f"{name}.alive",
                "deviation",
                (name,),
                "refuse",
                f"{name} is no dead dimension",
                {"low": 1e-6, "high": _FINITE},
            )
        )
    return tuple(rules)


def segments_rules(
    ids: pd.Series, id_column: str, segments: tuple[str, ...], limits: Limits, pinned: bool
) -> tuple[Rule, ...]:
    """What the assignment satisfies: everyone in exactly one of the k segments."""
    k = len(segments)
    return (
        *_same_customers(id_column, ids),
        Rule(f"{id_column}.unique", "unique", (id_column,), "refuse", "one row per customer"),
        _not_null("segment", "refuse"),
        Rule(
            "segment.known",
            "one_of",
            ("segment",),
            "refuse",
            f"every segment is one of the {k}",
            {"values": segments},
        ),
        Rule(
            "segment.all",
            "distinct",
            ("segment",),
            "refuse",
            f"there are {k} segments",
            {"low": k, "high": k},
        ),
        Rule(
            "segment.share",
            "common",
            ("segment",),
            "warn" if pinned else "ask",
            f"every segment holds {limits.min_smallest_share:.0%} of the customers or more",
            {"low": limits.min_smallest_share},
        ),
    )


def publication_rules(segments: tuple[str, ...], customers: int) -> tuple[Rule, ...]:
    """What the profiles satisfy: one per segment, every customer counted once."""
    k = len(segments)
    return (
        _row_count_rule(k, k, "one profile per segment"),
        Rule("segment.unique", "unique", ("segment",), "refuse", "one profile per segment"),
        Rule(
            "segment.known",
            "one_of",
            ("segment",),
            "refuse",
            "every profile is of a segment",
            {"values": segments},
        ),
        *_bounded("size", 1, customers),
        Rule(
            "size.total",
            "total",
            ("size",),
            "refuse",
            f"the sizes add up to {customers:,} customers",
            {"low": float(customers), "high": float(customers)},
        ),
        Rule(
            "share.total",
            "total",
            ("share",),
            "refuse",
            "the shares add up to 1",
            {"low": 1 - 1e-9, "high": 1 + 1e-9},
        ),
        *_bounded("value_share", -_FINITE, _FINITE, null=True),
    )


# ------------------------------------------------------------------------------- building blocks
def _id_rules(contract: Contract) -> Iterable[Rule]:
    name = contract.id.column
    yield _type_rule(name, TEXT, "text")
    yield _readable(name)
    yield _not_null(name, "set_aside")
    yield Rule(f"{name}.unique", "unique", (name,), "set_aside", f"{name} is not doubled")
    yield Rule(
        f"{name}.matches",
        "matches",
        (name,),
        "set_aside",
        f"{name} looks like {contract.id.pattern}",
        {"pattern": contract.id.pattern},
    )


def _column_rules(name: str, column: Column) -> Iterable[Rule]:
    yield _readable(name)
    if column.is_numeric:
        yield _type_rule(name, NUMBER, "a number")
        yield _between(f"{name}.between", name, column.low, column.high, "set_aside")
        if column.warn_high is not None:
            yield _between(f"{name}.high", name, column.low, column.warn_high, "warn")
        if column.is_whole:
            yield Rule(f"{name}.whole", "whole", (name,), "set_aside", f"{name} is whole")
    elif column.kind == "flag":
        yield _type_rule(name, ("boolean", "bool"), "yes or no")
    else:
        yield _type_rule(name, TEXT, "text")
    if column.values:
        says = f"{name} is one of {', '.join(column.values)}"
        arguments = {"values": column.values}
        yield Rule(f"{name}.one_of", "one_of", (name,), "set_aside", says, arguments)
    if not column.max_null_share:
        yield _not_null(name, "set_aside")


def _table_rules(name: str, column: Column) -> Iterable[Rule]:
    if column.max_null_share:
        yield Rule(
            f"{name}.null_share",
            "null_share",
            (name,),
            "refuse",
            f"at most {column.max_null_share:.1%} of {name} are missing",
            {"high": column.max_null_share},
        )
    if column.use == "segment":
        says = f"{name} is not the same for every customer"
        yield Rule(f"{name}.varies", "distinct", (name,), "refuse", says, {"low": 2})


def _row_change_rules(limits: Limits, last_rows: int | None) -> Iterable[Rule]:
    if last_rows is None:
        return
    change, factor = limits.warn_row_change, limits.refuse_row_factor
    yield Rule(
        "rows.change",
        "row_count",
        (),
        "warn",
        f"the row count is within {change:.0%} of last month's {last_rows:,}",
        {"low": int(last_rows * (1 - change)), "high": int(last_rows * (1 + change))},
    )
    yield Rule(
        "rows.factor",
        "row_count",
        (),
        "refuse",
        f"the row count is within a factor of {factor:g} of last month's {last_rows:,}",
        {"low": int(last_rows / factor), "high": int(last_rows * factor)},
    )


def _row_count_rule(low: int, high: int, says: str = "") -> Rule:
    says = says or f"there are between {low:,} and {high:,} rows"
    return Rule("rows", "row_count", (), "refuse", says, {"low": low, "high": high})


def _type_rule(name: str, types: tuple[str, ...], says: str) -> Rule:
    return Rule(
        f"{name}.type", "has_type", (name,), "refuse", f"{name} is {says}", {"types": types}
    )


def _readable(name: str) -> Rule:
    says = f"{name} can be read"
    return Rule(
        f"{name}.readable", "readable", (UNREADABLE,), "set_aside", says, {"column": name}
    )


def _not_null(name: str, severity: Severity) -> Rule:
    return Rule(f"{name}.not_null", "not_null", (name,), severity, f"{name} is not missing")


def _between(id_: str, name: str, low: float, high: float, severity: Severity) -> Rule:
    says = f"{name} lies in {low:g} to {high:g}"
    return Rule(id_, "between", (name,), severity, says, {"low": low, "high": high})


def _finite_number(name: str) -> list[Rule]:
    return [
        _type_rule(name, NUMBER, "a number"),
        _not_null(name, "refuse"),
        Rule(
            f"{name}.finite",
            "between",
            (name,),
            "refuse",
            f"{name} is finite",
            {"low": -_FINITE, "high": _FINITE},
        ),
    ]


def _bounded(name: str, low: float, high: float, null: bool = False) -> list[Rule]:
    bounded = [_between(f"{name}.between", name, low, high, "refuse")]
    return bounded if null else [_not_null(name, "refuse"), *bounded]


def _same_customers(id_column: str, ids: pd.Series) -> list[Rule]:
    return [
        _row_count_rule(len(ids), len(ids), f"all {len(ids):,} customers are there"),
        Rule(
            f"{id_column}.same",
            "equals",
            (id_column,),
            "refuse",
            "the customers are those of the step before, in the same order",
            {"values": ids},
        ),
    ]


def _arguments(identity: Any) -> dict[str, float]:
    names = {"sum": ("tolerance",), "at_most": ("factor",)}.get(identity.test, ())
    return {name: getattr(identity, name) for name in names}


def anchored(pattern: str) -> str:
    r"""A pattern that must match the whole text; `\Z`, since `$` lets a line break pass."""
    return rf"\A(?:{pattern})\Z"
