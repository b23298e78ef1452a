"""The gate after every step: `check(stage, table, rules)` -> `Verdict`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from expectations.rules import REFUSED, ROW, UNREADABLE, Rule
from expectations.suites import build_suite, with_witnesses
from expectations.verdict import Answer, Asked, GateRefused, Verdict

if TYPE_CHECKING:
    import great_expectations as gx

REASONS = "_reasons"
NOT_COMPUTABLE = "it could not be computed"


class Plain(NamedTuple):
    """The plain face's answer to one rule, or why there is none."""

    holds: bool = False
    mask: pd.Series | None = None
    witness: pd.Series | None = None
    why_not: str = ""


def prepare() -> None:
    """Load Great Expectations now, while there is something else to wait for: it takes seconds."""
    import great_expectations.expectations  # noqa: F401


def check(stage: str, table: pd.DataFrame, rules: Sequence[Rule]) -> Verdict:
    """Ask every rule of `table`, in plain pandas and through Great Expectations.

    Rules on a column that is missing or doubled, or whose type rule failed, cannot be evaluated;
    they do not hold. A rule to which the two faces give different answers does not hold either:
    one of them is wrong, so neither is believed.
    """
    with np.errstate(all="ignore"):  # sums of huge numbers overflow; the bounds tell of them
        plain, leaving = _ask_plainly(table, rules)
        found = _ask_great_expectations(stage, table, rules, plain, leaving)
    asked = tuple(_asked(rule, plain[rule.id], found.get(rule.id), table) for rule in rules)
    return Verdict(stage, _answer(asked), len(table), asked, _refused_rows(table, plain, rules))


def _answer(asked: Sequence[Asked]) -> Answer:
    """The gravest consequence among the rules that did not hold; nothing evaluated refuses."""
    failed = [one for one in asked if not one.held]
    if not any(one.evaluated for one in asked) or any(not one.evaluated for one in failed):
        return "refuse"
    severities = {one.severity for one in failed}
    if "refuse" in severities:
        return "refuse"
    if "ask" in severities:
        return "ask"
    return "warn" if severities else "pass"


def _hindered_columns(table: pd.DataFrame, rules: Sequence[Rule]) -> dict[str, str]:
    """Columns about which nothing can be asked, and why."""
    counts = Counter(table.columns)
    wanted = {column for rule in rules for column in rule.columns} - {REFUSED}
    hindered = {column: f"{column} is missing" for column in wanted if not counts[column]}
    hindered |= {c: f"{c} is there {counts[c]} times" for c in wanted if counts[c] > 1}
    for rule in rules:
        if rule.test == "has_type" and rule.columns[0] not in hindered and not rule.holds(table):
            hindered[rule.columns[0]] = f"{rule.columns[0]} has the wrong type"
    return hindered


def _ask_plainly(table: pd.DataFrame, rules: Sequence[Rule]) -> tuple[dict[str, Plain], pd.Series]:
    """The plain answers by rule id, and the mask of rows that would be set aside."""
    hindered = _hindered_columns(table, rules)
    plain = {r.id: _plain(r, table, hindered) for r in rules if r.is_about_rows}
    leaving = _any(table, plain, rules, ("set_aside",))
    witnessed = leaving.astype(float).to_frame(REFUSED)
    for rule in rules:
        if not rule.is_about_rows:
            is_about_leaving = rule.columns == (REFUSED,)
            plain[rule.id] = _plain(rule, witnessed if is_about_leaving else table, hindered)
    return plain, leaving


def _plain(rule: Rule, table: pd.DataFrame, hindered: Mapping[str, str]) -> Plain:
    why_not = [hindered[column] for column in rule.columns if column in hindered]
    if why_not and not _is_about_columns(rule, table):
        return Plain(why_not=why_not[0])
    try:
        if not rule.is_about_rows:
            return Plain(rule.holds(table), witness=rule.witness(table))
        mask = rule.broken(table).fillna(False).astype(bool)
        return Plain(not mask.any(), mask, rule.witness(table))
    except Exception:  # whatever a table can provoke is no answer, and so a refusal
        return Plain(why_not=NOT_COMPUTABLE)


def _is_about_columns(rule: Rule, table: pd.DataFrame) -> bool:
    """Whether a rule can be asked although a column is hindered, being about just that."""
    if rule.test == "has_type":
        return list(table.columns).count(rule.columns[0]) == 1
    return rule.test == "has_columns"


def _ask_great_expectations(
    stage: str,
    table: pd.DataFrame,
    rules: Sequence[Rule],
    plain: Mapping[str, Plain],
    leaving: pd.Series,
) -> dict[str, Any]:
    """Great Expectations' results by rule id. One context per call: shared ones miscount."""
    askable = [rule for rule in rules if not plain[rule.id].why_not]
    witnesses = {rule.id: plain[rule.id].witness for rule in askable}
    batch = (
        _context()
        .data_sources.add_pandas("stages")
        .add_dataframe_asset(stage)
        .add_batch_definition_whole_dataframe("whole")
        .get_batch({"dataframe": with_witnesses(table, witnesses, leaving)})
    )
    results: Any = batch.validate(build_suite(stage, askable), result_format="BASIC").results
    return {result.expectation_config.meta["rule"]: result for result in results}


def _context() -> "gx.data_context.EphemeralDataContext":
    import logging
    import warnings

    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    # its own words about a missing configuration, on every context
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    # pandas' words about an id pattern with groups, which it searches and does not extract
    warnings.filterwarnings("ignore", "This pattern is interpreted as a regular expression")
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return context


def _asked(rule: Rule, plain: Plain, result: Any, table: pd.DataFrame) -> Asked:
    if plain.why_not or result is None or _raised(result):
        return _not_evaluated(rule, plain.why_not or NOT_COMPUTABLE)
    broken_rows = None if plain.mask is None else int(plain.mask.sum())
    wanted = plain.holds if broken_rows is None else broken_rows
    counted = result.success if broken_rows is None else result.result.get("unexpected_count")
    if wanted != counted:
        return _not_evaluated(rule, f"asked in two ways, the answers are {wanted} and {counted}")
    return Asked(
        rule.id,
        rule.says,
        rule.severity,
        held=plain.holds,
        evaluated=True,
        broken_rows=broken_rows,
        first_row=None if plain.mask is None or plain.holds else _first_row(table, plain.mask),
        observed="" if plain.holds else _observed(rule, result, table),
        remedy=rule.remedy,
    )


def _not_evaluated(rule: Rule, why: str) -> Asked:
    return Asked(rule.id, rule.says, rule.severity, held=False, evaluated=False, observed=why)


def _raised(result: Any) -> bool:
    """Whether an expectation raised; a failed metric nests one entry per metric."""
    return bool(result.exception_info.get("raised_exception", True))


def _observed(rule: Rule, result: Any, table: pd.DataFrame) -> str:
    """What was found, where that is a figure, a type or a column's name: never a cell."""
    if rule.test == "has_columns":
        return _columns_amiss(rule.columns, Counter(table.columns))
    if rule.test == "has_type":
        return str(table[rule.columns[0]].dtype)
    if rule.test == "column_count":
        return f"{table.shape[1]:,} columns with the id"
    found = result.result.get("observed_value")
    if isinstance(found, int | np.integer):
        return f"{found:,}"
    return f"{found:.6g}" if isinstance(found, float | np.floating) else ""


def _columns_amiss(wanted: Sequence[str], found: Counter) -> str:
    amiss = [f"{column} is missing" for column in wanted if not found[column]]
    amiss += [f"{column} is there {found[column]} times" for column in wanted if found[column] > 1]
    unknown = sum(times for column, times in found.items() if column not in wanted)
    amiss += [f"{unknown} that nobody asked for"] if unknown else []
    return "; ".join(amiss) or "another order"


def _first_row(table: pd.DataFrame, mask: pd.Series) -> int:
    position = int(mask.to_numpy().argmax())
    is_numbered = list(table.columns).count(ROW) == 1 and table[ROW].dtype.kind == "i"
    return int(table[ROW].iloc[position]) if is_numbered else position + 1


def _refused_rows(
    table: pd.DataFrame, plain: Mapping[str, Plain], rules: Sequence[Rule]
) -> pd.DataFrame:
    """Rows that break a rule, with the ids of all rules they break."""
    graves = ("set_aside", "refuse")
    masks = _masks(plain, rules, graves)
    leaving = _any(table, plain, rules, graves)
    refused = table.loc[:, ~table.columns.duplicated()][leaving]
    broken = pd.DataFrame(masks, index=table.index)[leaving].to_numpy(bool)
    ids = np.array(list(masks), dtype=object)
    reasons = [", ".join(ids[row]) for row in broken]
    return refused.assign(**{REASONS: pd.Series(reasons, index=refused.index, dtype="str")})


def _any(
    table: pd.DataFrame,
    plain: Mapping[str, Plain],
    rules: Sequence[Rule],
    severities: Sequence[str],
) -> pd.Series:
    """Mask of rows that break any rule of these severities."""
    broken = pd.Series(False, index=table.index)
    for mask in _masks(plain, rules, severities).values():
        broken |= mask
    return broken


def _masks(
    plain: Mapping[str, Plain], rules: Sequence[Rule], severities: Sequence[str]
) -> dict[str, pd.Series]:
    found = {r.id: plain[r.id].mask for r in rules if r.severity in severities and r.id in plain}
    return {name: mask for name, mask in found.items() if mask is not None}


__all__ = ["REASONS", "UNREADABLE", "Asked", "GateRefused", "Verdict", "check", "prepare"]
