"""What a gate answers: a verdict, and its words."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pandas as pd

from expectations.errors import GateError
from expectations.rules import FEW_REFUSED

Answer = Literal["pass", "warn", "ask", "refuse"]

MOST_SENTENCES = 4  # a message is read; the whole list is in the verdict
FAULT = "No setting mends this, it is a fault of the program: report it."


class GateRefused(GateError):
    """A stage's table breaks a rule that must hold; the message says which, where and how often."""


@dataclass(frozen=True)
class Asked:
    """What came of one rule; `observed` never quotes a cell."""

    rule: str
    says: str
    severity: str
    held: bool
    evaluated: bool
    broken_rows: int | None = None
    first_row: int | None = None
    observed: str = ""
    remedy: str = ""


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
        """What was refused, where and how often, a sentence per broken rule, and what to do."""
        if self.answer != "refuse":
            return ""
        known = [one for one in self.failed if one.severity == "refuse" and one.evaluated]
        refusing = known or [one for one in self.failed if not one.evaluated]
        told, more = refusing[:MOST_SENTENCES], len(refusing) - MOST_SENTENCES
        sentences = [self._told(one) for one in told]
        if not self.evaluated:
            nothing = "no rule was evaluated, so nothing is known about this table"
            sentences.insert(0, f"{self.stage}: {nothing}.")
        if more > 0:
            sentences.append(f"({more} more rules do not hold.)")
        remedies = dict.fromkeys(one.remedy for one in told if one.remedy)
        return " ".join([*sentences, *(remedies or [FAULT])])

    def _told(self, one: Asked) -> str:
        if one.rule == FEW_REFUSED and one.evaluated:
            return self._too_many_refused(one)
        return f"{self.stage}: {_sentence(one, self.rows)}."

    def _too_many_refused(self, one: Asked) -> str:
        reasons = [a for a in self.failed if a.severity == "set_aside"]
        worst = sorted(reasons, key=lambda a: -(a.broken_rows or 0))[:3]
        why = "; ".join(_sentence(a, self.rows) for a in worst)
        return (
            f"{self.stage}: {len(self.refused):,} of {self.rows:,} rows break a rule, but "
            f"{one.says} ({why})."
        )


def _sentence(one: Asked, rows: int) -> str:
    if not one.evaluated:
        return f"cannot tell whether {one.says} ({one.observed})"
    if one.broken_rows is not None:
        return (
            f"{one.broken_rows:,} of {rows:,} rows break '{one.says}' (first: row {one.first_row})"
        )
    found = f" (found: {one.observed})" if one.observed else ""
    return f"it does not hold that {one.says}{found}"
