"""What each stage's table must satisfy: contract and limits -> rules.

A rule has two faces. `expectations.masks` holds the one in plain pandas: the mask of rows that
break a row rule, or whether a table rule holds. `expectations.suites` gives the same rules to
Great Expectations.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from expectations.contract import Contract
from expectations.masks import ROW_TESTS, TABLE_TESTS, WITNESSES
from expectations.parts import LONGEST_ID, Column, Identity
from expectations.rule import (
    FINITE,
    NUMBER,
    REFUSED,
    ROW,
    TEXT,
    UNREADABLE,
    YES_OR_NO,
    Rule,
    Severity,
    between,
    bounded,
    figure,
    finite_number,
    has_columns,
    has_type,
    not_null,
    one_of,
    readable,
    row_count,
    same_customers,
    some_customers,
    unique,
    varies,
)

__all__ = [
    "FEW_REFUSED",
    "REFUSED",
    "ROW",
    "ROW_TESTS",
    "TABLE_TESTS",
    "UNREADABLE",
    "WITNESSES",
    "Limits",
    "Rule",
    "Severity",
    "change_rules",
    "clean_rules",
    "drift_rules",
    "embedding_rules",
    "lead_rule",
    "publication_rules",
    "raw_rules",
    "row_rules",
    "scaled_rules",
    "segments_rules",
    "selection_rules",
    "typical_rules",
    "unchanged_rules",
]

FEW_REFUSED = "few_refused"
LEAST_FEATURES = 3
_ONCE_EACH = "the table has the contract's columns, once each"


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
    warn_psi: float = Field(
        default=0.10,
        gt=0,
        title="Drift of a column: warn",
        description="Population stability index against last month beyond which the month is "
        "marked.",
    )
    ask_psi: float = Field(
        default=0.25,
        gt=0,
        title="Drift of a column: ask",
        description="Population stability index beyond which a person has to say yes.",
    )
    warn_untypical: float = Field(
        default=0.04,
        ge=0,
        le=1,
        title="Customers who fit nowhere: warn",
        description="Share of untypical customers beyond which the month is marked; 2 % of the "
        "fitted month are.",
    )
    ask_untypical: float = Field(
        default=0.10,
        ge=0,
        le=1,
        title="Customers who fit nowhere: ask",
        description="Share of untypical customers beyond which a person has to say yes.",
    )
    max_churn: float = Field(
        default=0.15,
        ge=0,
        le=1,
        title="Customers who moved",
        description="Share of the customers compared; with more moves a person has to say yes.",
    )
    max_size_change: float = Field(
        default=0.50,
        gt=0,
        title="Size of a segment",
        description="Relative change since last month beyond which a person has to say yes.",
    )
    max_refit_churn: float = Field(
        default=0.10,
        ge=0,
        le=1,
        title="Customers moved by a refit",
        description="Share of customers whom the adopted new fit itself moves; with more a "
        "person has to say yes.",
    )
    min_changed: float = Field(
        default=0.05,
        ge=0,
        le=1,
        title="Rows that changed",
        description="Share of last month's customers whose numbers must have changed; with fewer "
        "the month is marked, for it may be last month's table again.",
    )
    min_cell: int = Field(
        default=5,
        ge=1,
        title="Smallest count shown",
        description="Counts of customers below this are shown as '< 5'.",
    )


def raw_rules(contract: Contract, limits: Limits, last_rows: int | None = None) -> tuple[Rule, ...]:
    """What a source must satisfy; `last_rows` is the row count of last month, if known."""
    few = Rule(
        FEW_REFUSED,
        "mean",
        (REFUSED,),
        "refuse",
        f"at most {limits.max_quarantine_share:.2%} of the rows are set aside",
        {"low": 0.0, "high": limits.max_quarantine_share},
        "Fix the extract, or raise the limit max_quarantine_share.",
    )
    remedy = "Send the whole month, or change rows in the contract."
    return (
        has_columns((contract.id.column, *contract.kept, ROW, UNREADABLE), _ONCE_EACH),
        row_count(contract.rows.low, contract.rows.high, remedy=remedy),
        *_row_change_rules(limits, last_rows),
        *row_rules(contract),
        few,  # before the columns: where most of a column is unreadable, that comes first
        *(rule for name, column in contract.kept.items() for rule in _table_rules(name, column)),
    )


def row_rules(contract: Contract) -> tuple[Rule, ...]:
    """The rules that single customers can break: asked of a source, and in scoring."""
    return (
        *_id_rules(contract),
        *(rule for name, column in contract.kept.items() for rule in _column_rules(name, column)),
        *(_identity_rule(identity) for identity in contract.rules),
    )


def clean_rules(contract: Contract, rows: int) -> tuple[Rule, ...]:
    """What clean customers satisfy: every one that was kept, no gap, no broken rule.

    `rows` is the number of source rows without objection less those set aside. A filled gap is
    no observation, so a column that may have gaps is asked for its bounds only: a median need
    not be whole, nor fit the customer's other columns.
    """
    filled = {name for name in contract.numeric if contract.kept[name].max_null_share}
    asked = [
        replace(rule, severity="refuse")
        for rule in row_rules(contract)
        if rule.severity != "warn" and rule.test != "readable"
        if rule.test in ("has_type", "between") or filled.isdisjoint(rule.columns)
    ]
    return (
        has_columns((contract.id.column, *contract.kept, ROW), _ONCE_EACH),
        some_customers(),
        row_count(rows, rows, "rows in are rows kept and rows set aside"),
        *asked,
        *(not_null(name) for name in contract.numeric if name in filled),
    )


def scaled_rules(
    ids: pd.Series,
    id_column: str,
    features: tuple[str, ...],
    left_out: str = "",
    fitted: bool = True,
) -> tuple[Rule, ...]:
    """What scaled features satisfy: the declared ones, finite, and on a fit mean 0 and sd 1.

    `left_out` tells which columns the filters left out, as a sentence; `fitted` is false where
    the published model's units were taken.
    """
    enough = Rule(
        "features",
        "column_count",
        (),
        "refuse",
        f"at least {LEAST_FEATURES} features are left to segment by",
        {"low": 1 + LEAST_FEATURES},
        f"No stable segmentation. {left_out}".strip()
        + " Add columns that say something about one another, or loosen the filters.",
    )
    rules = [
        has_columns((id_column, *features), "the table has the declared features"),
        *same_customers(id_column, ids),
        enough,
    ]
    # scalers divide by n, pandas and Great Expectations by n - 1
    sd = math.sqrt(len(ids) / max(1, len(ids) - 1))
    for name in features:
        rules += finite_number(name)
        if not fitted:
            continue
        rules += [
            varies(name),
            figure(name, "mean", -1e-6, 1e-6, f"{name} has mean 0"),
            figure(name, "deviation", sd - 0.01, sd + 0.01, f"{name} has standard deviation 1"),
        ]
    return tuple(rules)


def selection_rules(
    min_smallest_share: float,
    min_survival: float,
    min_ari: float,
    pinned: int,
    nothing: str = "",
    chosen: str = "",
    goes_on: bool = False,
) -> tuple[Rule, ...]:
    """What the candidates satisfy: one is chosen, and meets the thresholds or was asked for.

    `pinned` is the number of segments that was asked for, 0 if it was left to the choice;
    `nothing` says why no number of segments is stable, where none is; `chosen` is the chosen
    candidate in words; `goes_on` is true where the published model assigns whatever is found.
    """
    once = Rule(
        "chosen.once",
        "total",
        ("chosen",),
        "warn" if nothing and goes_on else "refuse",
        "a stable segmentation was found" if nothing else "exactly one candidate is chosen",
        {"low": 1.0, "high": 1.0},
        f"{nothing[:1].upper()}{nothing[1:]}. Other customers would not confirm such segments: "
        "add columns that tell customers apart, or send more customers; --segments N takes a "
        "number all the same."
        if nothing
        else "",
    )
    asked = [
        ("smallest_share", min_smallest_share, "'s smallest segment holds"),
        ("survival", min_survival, "'s weakest segment is found again in"),
        ("bootstrap_ari", min_ari, " agrees with its refits to"),
    ]
    return (
        row_count(1, 10_000, "there are candidates"),
        has_type("chosen", ("bool",), "yes or no"),
        once,
        *bounded("k", 1, 1000),
        *bounded("silhouette", -1, 1),
        *bounded("inertia", 0, FINITE),
        *bounded("smallest_share", 0, 1),
        *bounded("eta_squared", 0, 1 + 1e-9),
        *(_of_chosen(name, low, says, pinned or goes_on, chosen) for name, low, says in asked),
    )


def lead_rule(min_lead: float) -> Rule:
    """The challenger does not explain clearly more than the published model, or is recommended."""
    return Rule(
        "lead",
        "total",
        ("lead",),
        "warn",
        f"a new fit explains at most {100 * min_lead:.0f} points more of the variance than the "
        "published model, or a refit is recommended (--refit always)",
        {"low": -FINITE, "high": min_lead},
    )


def _of_chosen(name: str, low: float, says: str, is_told_only: bool | int, chosen: str) -> Rule:
    return Rule(
        f"chosen.{name}",
        "between_where",
        (name, "chosen"),
        "warn" if is_told_only else "refuse",
        f"the chosen candidate{says} {low:.0%} or more" + (f" ({chosen})" if chosen else ""),
        {"low": low, "high": 1.0},
        "Leave the number of segments and the space to the choice, or lower the threshold.",
    )


def embedding_rules(
    ids: pd.Series, id_column: str, dimensions: tuple[str, ...]
) -> tuple[Rule, ...]:
    """What coordinates satisfy: finite, no dead dimension, the same customers."""
    rules = [
        has_columns((id_column, *dimensions), "the table has the coordinates"),
        *same_customers(id_column, ids),
    ]
    for name in dimensions:
        alive = figure(name, "deviation", 1e-6, FINITE, f"{name} is no dead dimension")
        remedy = "Choose another embedding."
        rules += [*finite_number(name), replace(alive, id=f"{name}.alive", remedy=remedy)]
    return tuple(rules)


def segments_rules(
    ids: pd.Series,
    id_column: str,
    segments: tuple[str, ...],
    min_smallest_share: float,
    pinned: bool,
    by_champion: bool = False,
) -> tuple[Rule, ...]:
    """What the assignment satisfies: everyone in exactly one of the k segments.

    `by_champion` is true where the published model assigns: that one of its segments is empty is
    a question then, no fault.
    """
    k = len(segments)
    return (
        *same_customers(id_column, ids),
        unique(id_column, "refuse", "one row per customer"),
        not_null("segment"),
        one_of("segment.known", "segment", segments, "refuse", f"every segment is one of the {k}"),
        Rule(
            "segment.all",
            "distinct",
            ("segment",),
            "ask" if by_champion else "refuse",
            f"there are {k} segments",
            {"low": k, "high": k},
        ),
        Rule(
            "segment.share",
            "common",
            ("segment",),
            "warn" if pinned and not by_champion else "ask",
            f"every segment holds {min_smallest_share:.0%} of the customers or more",
            {"low": min_smallest_share},
        ),
        *bounded("confidence", 0, 1),
    )


def typical_rules(limits: Limits) -> tuple[Rule, ...]:
    """How many customers may be like nobody the published model was fitted on."""
    remedy = "See whether columns were swapped or a unit has changed; else run --refit always."
    asked: list[tuple[Severity, float]] = [
        ("warn", limits.warn_untypical),
        ("ask", limits.ask_untypical),
    ]
    return tuple(
        Rule(
            f"typical.{severity}",
            "flagged",
            ("typical",),
            severity,
            f"at least {1 - untypical:.0%} of the customers are like others the model has seen",
            {"low": 1 - untypical, "high": 1.0},
            remedy,
        )
        for severity, untypical in asked
    )


def publication_rules(
    segments: tuple[str, ...], customers: int, smallest: int = 1
) -> tuple[Rule, ...]:
    """What the profiles satisfy: one per segment, every customer counted once.

    `smallest` is 0 where the published model may have left a segment empty.
    """
    k = len(segments)
    total = f"the sizes add up to {customers:,} customers"
    return (
        row_count(k, k, "one profile per segment"),
        not_null("segment"),
        unique("segment", "refuse", "one profile per segment"),
        not_null("name"),
        unique("name", "refuse", "no two segments have one name"),
        one_of("segment.known", "segment", segments, "refuse", "every profile is of a segment"),
        *bounded("size", smallest, max(1, customers)),
        figure("size", "total", float(customers), float(customers), total),
        *bounded("share", 0, 1),
        figure("share", "total", 1 - 1e-9, 1 + 1e-9, "the shares add up to 1"),
        between("value_share", -FINITE, FINITE),
    )


def change_rules(limits: Limits, approved: bool, refitted: bool) -> tuple[Rule, ...]:
    """How much a month may change before a person has to say yes.

    Asked of the profiles, whose `churn` and `refit` are each segment's part of the customers
    compared who moved, and who moved by the refit. `approved`: a person has said yes, so that
    it is told and no more.
    """
    severity: Severity = "warn" if approved else "ask"
    rules = [
        Rule(
            "churn.total",
            "total",
            ("churn",),
            severity,
            f"at most {limits.max_churn:.0%} of the customers compared have moved",
            {"low": 0.0, "high": limits.max_churn},
        ),
        replace(
            between("size_change", -limits.max_size_change, limits.max_size_change, severity),
            says=f"no segment's size changes by more than {limits.max_size_change:.0%}",
        ),
    ]
    if refitted:
        rules.append(
            Rule(
                "refit.total",
                "total",
                ("refit",),
                severity,
                f"the refit itself moves at most {limits.max_refit_churn:.0%} of the customers",
                {"low": 0.0, "high": limits.max_refit_churn},
            )
        )
    return tuple(rules)


# ------------------------------------------------------------------- against the month before
def drift_rules(
    contract: Contract, limits: Limits, reference: Mapping[str, Any]
) -> tuple[Rule, ...]:
    """How far a column may shift, for each that the `reference` of last month knows.

    `reference` is that of `tasks.drift.reference_of`: bins (`edges`) and their `shares` in
    `columns`. Asked of the same stage's table that the reference was taken from.
    """
    known = reference["columns"]
    return tuple(
        rule
        for name in contract.numeric
        if name in known
        for rule in (
            _psi_rule(name, "warn", limits.warn_psi, known[name]),
            _psi_rule(name, "ask", limits.ask_psi, known[name]),
        )
    )


def _psi_rule(name: str, severity: Severity, high: float, bins: Mapping[str, Any]) -> Rule:
    return Rule(
        f"{name}.psi_{severity}",
        "psi",
        (name,),
        severity,
        f"{name} has shifted by a PSI of at most {high:g} since last month",
        {"edges": tuple(bins["edges"]), "shares": tuple(bins["shares"]), "high": high},
        f"See whether the unit, the definition or the filling of {name} has changed. Where the "
        f"customers have, raise {severity}_psi for this month.",
    )


def unchanged_rules(contract: Contract, limits: Limits, hashes: pd.Series) -> tuple[Rule, ...]:
    """How many of last month's customers must have other numbers now.

    `hashes` are last month's `row_hashes` of the contract's numeric columns, by customer id, of
    the same stage's table.
    """
    return (
        Rule(
            f"{contract.id.column}.changed",
            "changed",
            (contract.id.column, *contract.numeric),
            "warn",
            f"the numbers of at least {limits.min_changed:.0%} of last month's customers changed",
            {"hashes": hashes, "low": limits.min_changed},
            "See whether this is last month's extract under a new name.",
        ),
    )


# ------------------------------------------------------------------- what the contract asks for
def _id_rules(contract: Contract) -> Iterable[Rule]:
    name, pattern = contract.id.column, contract.id.pattern
    yield has_type(name, TEXT, "text")
    yield readable(name)
    yield not_null(name, "set_aside")
    yield unique(name, "set_aside", f"{name} is not doubled")
    says = f"{name} looks like {pattern} and has at most {LONGEST_ID} letters"
    yield Rule(f"{name}.matches", "matches", (name,), "set_aside", says, {"pattern": pattern})


def _column_rules(name: str, column: Column) -> Iterable[Rule]:
    yield readable(name)
    yield _type_of(name, column)
    low, high, warn_high = column.low, column.high, column.warn_high
    if low is not None and high is not None:
        yield between(name, low, high, "set_aside")
        if warn_high is not None:
            yield between(name, low, warn_high, "warn", what="high")
    if column.is_whole:
        yield Rule(f"{name}.whole", "whole", (name,), "set_aside", f"{name} is whole")
    if column.values:
        says = f"{name} is one of {', '.join(column.values)}"
        yield one_of(f"{name}.one_of", name, column.values, "set_aside", says)
    if not column.max_null_share:
        yield not_null(name, "set_aside")


def _type_of(name: str, column: Column) -> Rule:
    if column.is_numeric:
        return has_type(name, NUMBER, "a number")
    if column.kind == "flag":
        return has_type(name, YES_OR_NO, "yes or no")
    return has_type(name, TEXT, "text")


def _identity_rule(identity: Identity) -> Rule:
    names = {"sum": ("tolerance",), "at_most": ("factor",)}.get(identity.test, ())
    arguments = {name: getattr(identity, name) for name in names}
    says = identity.says or identity.name.replace("_", " ")
    return Rule(identity.name, identity.test, identity.columns, identity.severity, says, arguments)


def _table_rules(name: str, column: Column) -> Iterable[Rule]:
    if column.max_null_share:
        yield Rule(
            f"{name}.null_share",
            "null_share",
            (name,),
            "refuse",
            f"at most {column.max_null_share:.1%} of {name} are missing",
            {"high": column.max_null_share},
            f"Fix the extract, or raise max_null_share of {name} in the contract.",
        )
    if column.use == "segment":
        yield varies(name)


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
        _whole_bounds(last_rows * (1 - change), last_rows * (1 + change)),
    )
    yield Rule(
        "rows.factor",
        "row_count",
        (),
        "refuse",
        f"the row count is within a factor of {factor:g} of last month's {last_rows:,}",
        _whole_bounds(last_rows / factor, last_rows * factor),
        "See whether the extract is whole, or raise refuse_row_factor.",
    )


def _whole_bounds(low: float, high: float) -> dict[str, int]:
    """The whole numbers within bounds, which floating point may have moved a little."""
    return {"low": max(0, math.ceil(round(low, 6))), "high": math.floor(round(high, 6))}
