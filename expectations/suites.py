"""Rules -> a Great Expectations suite: the other face of every rule."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from expectations.parts import anchored
from expectations.rules import REFUSED, WITNESSES, Rule

if TYPE_CHECKING:
    import great_expectations as gx
    from great_expectations.expectations.expectation import Expectation

# Great Expectations knows a pandas extension type by its class.
_TYPE_NAMES = {"boolean": "BooleanDtype"}
_WITNESS = "_witness "
_SEVERITY = {"refuse": "critical", "ask": "warning", "warn": "info", "set_aside": "info"}


def build_suite(stage: str, rules: Sequence[Rule]) -> "gx.ExpectationSuite":
    """The stage's suite; each expectation carries its rule's id in `meta`."""
    import great_expectations as gx

    derived = [_asked(rule) for rule in rules if rule.test in WITNESSES]
    expectations = [expectation_for(rule, (*derived, REFUSED)) for rule in rules]
    return gx.ExpectationSuite(name=stage, expectations=expectations)


def expectation_for(rule: Rule, derived: tuple[str, ...]) -> "Expectation":
    """The expectation that asks what `rule` asks of a table with the `derived` columns."""
    import great_expectations.expectations as gxe

    name, settings = EXPECTATIONS[rule.test](rule)
    if rule.test == "has_columns":
        settings = {"column_list": [*rule.columns, *derived]}
    if rule.test == "column_count":
        settings = {"min_value": rule.arguments["low"] + len(derived)}
    # severity is passed per instance: set on a class it is lost
    return getattr(gxe, name)(**settings, severity=_SEVERITY[rule.severity], meta={"rule": rule.id})


def with_witnesses(
    table: pd.DataFrame, witnesses: Mapping[str, pd.Series | None], leaving: pd.Series
) -> pd.DataFrame:
    """`table` with the witnesses (rule id -> column, if it needs one), and who is `leaving`."""
    derived = {f"{_WITNESS}{rule}": w for rule, w in witnesses.items() if w is not None}
    derived[REFUSED] = leaving.astype(float)
    return pd.concat([table, pd.DataFrame(derived, index=table.index)], axis=1)


def _asked(rule: Rule) -> str:
    return f"{_WITNESS}{rule.id}" if rule.test in WITNESSES else rule.columns[0]


def _between(low: float | None, high: float | None) -> Callable[[Rule], tuple[str, dict]]:
    def build(rule: Rule) -> tuple[str, dict]:
        return "ExpectColumnValuesToBeBetween", {
            "column": _asked(rule),
            "min_value": low,
            "max_value": high,
        }

    return build


def _within(expectation: str) -> Callable[[Rule], tuple[str, dict]]:
    def build(rule: Rule) -> tuple[str, dict]:
        settings: dict[str, Any] = {
            "min_value": rule.arguments.get("low"),
            "max_value": rule.arguments.get("high"),
        }
        return expectation, {**settings, **({"column": _asked(rule)} if rule.columns else {})}

    return build


def _one_of(rule: Rule) -> tuple[str, dict]:
    return "ExpectColumnValuesToBeInSet", {
        "column": _asked(rule),
        "value_set": list(rule.arguments["values"]),
    }


def _all_or_none(rule: Rule) -> tuple[str, dict]:
    return "ExpectColumnValuesToBeInSet", {
        "column": _asked(rule),
        "value_set": [0.0, float(len(rule.columns))],
    }


def _type(rule: Rule) -> tuple[str, dict]:
    types = rule.arguments["types"]
    if types == ("str",):  # the pandas 3 text type passes OfType only
        return "ExpectColumnValuesToBeOfType", {"column": rule.columns[0], "type_": "str"}
    names = [_TYPE_NAMES.get(name, name) for name in types]
    return "ExpectColumnValuesToBeInTypeList", {"column": rule.columns[0], "type_list": names}


EXPECTATIONS: Mapping[str, Callable[[Rule], tuple[str, dict]]] = {
    "not_null": lambda rule: ("ExpectColumnValuesToNotBeNull", {"column": _asked(rule)}),
    "between": _within("ExpectColumnValuesToBeBetween"),
    "between_where": _within("ExpectColumnValuesToBeBetween"),
    "common": _within("ExpectColumnValuesToBeBetween"),
    "whole": _between(0, 0),
    "readable": _between(0, 0),
    "equals": _between(0, 0),
    "sum": lambda rule: _between(None, rule.arguments["tolerance"])(rule),
    "at_most": _between(None, 0),
    "together": _all_or_none,
    "unique": lambda rule: ("ExpectColumnValuesToBeUnique", {"column": _asked(rule)}),
    "matches": lambda rule: (
        "ExpectColumnValuesToMatchRegex",
        {"column": _asked(rule), "regex": anchored(rule.arguments["pattern"])},
    ),
    "one_of": _one_of,
    "has_columns": lambda rule: ("ExpectTableColumnsToMatchOrderedList", {}),
    "column_count": lambda rule: ("ExpectTableColumnCountToBeBetween", {}),
    "has_type": _type,
    "row_count": _within("ExpectTableRowCountToBeBetween"),
    "distinct": _within("ExpectColumnUniqueValueCountToBeBetween"),
    "null_share": _within("ExpectColumnMeanToBeBetween"),
    "flagged": _within("ExpectColumnMeanToBeBetween"),
    "mean": _within("ExpectColumnMeanToBeBetween"),
    "deviation": _within("ExpectColumnStdevToBeBetween"),
    "total": _within("ExpectColumnSumToBeBetween"),
    "psi": _within("ExpectColumnMeanToBeBetween"),
    "changed": _within("ExpectColumnMeanToBeBetween"),
}
