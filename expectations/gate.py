"""The gate after every step: `check(stage, table, rules)` -> `Verdict`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from expectations.errors import GateError
from expectations.rules import FEW_REFUSED, REFUSED, ROW, UNREADABLE, Rule
from expectations.suites import build_suite, with_witnesses

if TYPE_CHECKING:
    import great_expectations as gx

Answer = Literal["pass", "warn", "ask", "refuse"]

REASONS = "_reasons"
MOST_SENTENCES = 4  # a message is read; the whole list is in the verdict


class GateRefused(GateError):
    """A stage's table breaks a rule that must hold; the message says which, where and how often."""


@dataclass(frozen=True)
class Asked:
    """What came of one rule."""

    rule: str
    says: str
    severity: str
    held: bool
    evaluated: bool
    broken_rows: int | None = None
    first_row: int | None = None
    observed: str = ""


@dataclass(frozen=True)
class Verdict:
    """A gate's answer about one table.

    Parameters
    ----------
    stage : str
        Which table.
    answer : str
        pass, warn, ask or refuse.
    rows : int
        Rows of the table.
    asked : tuple of Asked
        Every rule in order.
    refused : DataFrame
        Rows that break a row rule which sets aside or refuses, with `_reasons`; never in
        `summary`.
    """

    stage: str
    answer: Answer
    rows: int
    asked: tuple[Asked, ...]
    refused: pd.DataFrame = field(repr=False, compare=False)

    @property
    def evaluated(self) -> int:
        """How many rules Great Expectations really evaluated."""
        return sum(one.evaluated for one in self.asked)

    @property
    def failed(self) -> tuple[Asked, ...]:
        """Rules that did not hold."""
        return tuple(one for one in self.asked if not one.held)

    def summary(self) -> dict[str, Any]:
        """The verdict as JSON values: counts and rules, no customer."""
        return {
            "stage": self.stage,
            "verdict": self.answer,
            "rows": self.rows,
            "evaluated": self.evaluated,
            "failed": [asdict(one) for one in self.failed],
        }

    def message(self) -> str:
        """What was refused, where, and how often, in one sentence per broken rule."""
        if self.evaluated == 0:
            return f"{self.stage}: no rule was evaluated, so nothing is known about this table."
        known = [one for one in self.failed if one.severity == "refuse" and one.evaluated]
        refusing = known or [one for one in self.failed if not one.evaluated]
        sentences = [
            self._too_many_refused(one)
            if one.rule == FEW_REFUSED
            else f"{self.stage}: {_sentence(one, self.rows)}."
            for one in refusing[:MOST_SENTENCES]
        ]
        more = len(refusing) - MOST_SENTENCES
        return " ".join(sentences) + (f" ({more} more rules do not hold.)" if more > 0 else "")

    def _too_many_refused(self, one: Asked) -> str:
        reasons = [a for a in self.failed if a.severity == "set_aside"]
        worst = sorted(reasons, key=lambda a: -(a.broken_rows or 0))[:3]
        why = "; ".join(_sentence(a, self.rows) for a in worst)
        return (
            f"{self.stage}: {len(self.refused):,} of {self.rows:,} rows break a rule, but "
            f"{one.says} ({why}). Fix the extract, or raise max_quarantine_share."
        )


def check(stage: str, table: pd.DataFrame, rules: Sequence[Rule]) -> Verdict:
    """Ask every rule of `table` through Great Expectations.

    Rules on a column that is missing, or whose type rule failed, cannot be evaluated; they do
    not hold. A row rule whose mask and expectation count different rows does not hold either:
    one of its faces is wrong, so neither is believed.
    """
    askable = [rule for rule in rules if _is_askable(rule, table, rules)]
    masks = {rule.id: rule.broken(table) for rule in askable if rule.is_about_rows}
    setting_aside = [r for r in askable if r.severity == "set_aside" and r.id in masks]
    leaving = _any(masks[rule.id] for rule in setting_aside) | _none(table)
    found = _validate(stage, with_witnesses(table, askable, leaving), askable)
    asked = tuple(_asked(rule, found.get(rule.id), masks.get(rule.id), table) for rule in rules)
    refusing = [r for r in askable if r.severity in ("set_aside", "refuse") and r.id in masks]
    return Verdict(
        stage,
        _answer(asked),
        len(table),
        asked,
        _refused_rows(table, {rule.id: masks[rule.id] for rule in refusing}),
    )


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


def _is_askable(rule: Rule, table: pd.DataFrame, rules: Sequence[Rule]) -> bool:
    if rule.test == "has_columns" or rule.columns in ((), (REFUSED,)):
        return True
    counts = Counter(table.columns)
    if any(counts[column] != 1 for column in rule.columns):
        return False
    if rule.test == "has_type":
        return True
    types = [other for other in rules if other.test == "has_type"]
    return not any(t.columns[0] in rule.columns and t.broken(table).any() for t in types)


def _validate(stage: str, table: pd.DataFrame, rules: Sequence[Rule]) -> dict[str, Any]:
    """Great Expectations' results by rule id. One context per call: shared ones miscount."""
    context = _context()
    batch = (
        context.data_sources.add_pandas("stages")
        .add_dataframe_asset(stage)
        .add_batch_definition_whole_dataframe("whole")
        .get_batch({"dataframe": table})
    )
    outcome = batch.validate(build_suite(stage, rules), result_format="BASIC")
    return {result.expectation_config.meta["rule"]: result for result in outcome.results}


def _context() -> "gx.data_context.EphemeralDataContext":
    import logging

    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    # its own words about a missing configuration, on every context
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return context


def _asked(rule: Rule, result: Any, mask: pd.Series | None, table: pd.DataFrame) -> Asked:
    if result is None or "exception_message" not in result.exception_info:
        # a failed metric nests one exception per metric instead of the usual flat entry
        return _not_evaluated(rule, "column missing, of a wrong type, or not computable")
    if result.exception_info.get("raised_exception"):
        return _not_evaluated(rule, str(result.exception_info["exception_message"])[:200])
    counted = result.result.get("unexpected_count")
    observed = result.result.get("observed_value")
    if mask is not None and int(mask.sum()) != counted:
        return _not_evaluated(rule, f"the mask counts {int(mask.sum())}, the gate {counted}")
    first = _first_row(table, mask) if mask is not None and counted else None
    return Asked(
        rule.id,
        rule.says,
        rule.severity,
        held=bool(result.success),
        evaluated=True,
        broken_rows=counted if mask is not None else None,
        first_row=first,
        observed="" if observed is None or rule.test == "has_columns" else str(observed),
    )


def _not_evaluated(rule: Rule, why: str) -> Asked:
    return Asked(rule.id, rule.says, rule.severity, held=False, evaluated=False, observed=why)


def _first_row(table: pd.DataFrame, mask: pd.Series) -> int:
    position = int(mask.to_numpy().argmax())
    return int(table[ROW].iloc[position]) if ROW in table.columns else position + 1


def _refused_rows(table: pd.DataFrame, masks: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Rows that break a rule, with the ids of all rules they break."""
    leaving = _any(masks.values()) | _none(table)
    refused = table.loc[:, ~table.columns.duplicated()][leaving]
    broken = pd.DataFrame(masks, index=table.index)[leaving]
    reasons = [", ".join(broken.columns[row]) for row in broken.to_numpy(bool)]
    return refused.assign(**{REASONS: pd.Series(reasons, index=refused.index, dtype="str")})


def _any(masks: Any) -> Any:
    together: Any = False
    for mask in masks:
        together = together | mask
    return together


def _none(table: pd.DataFrame) -> pd.Series:
    return pd.Series(False, index=table.index)


def _sentence(one: Asked, rows: int) -> str:
    if not one.evaluated:
        return f"cannot tell whether {one.says} ({one.observed})"
    if one.broken_rows is not None:
        where = f" (first: row {one.first_row})" if one.first_row is not None else ""
        return f"{one.broken_rows:,} of {rows:,} rows break '{one.says}'{where}"
    found = f" (found: {one.observed})" if one.observed else ""
    return f"it does not hold that {one.says}{found}"


__all__ = ["REASONS", "UNREADABLE", "Asked", "GateRefused", "Verdict", "check"]
