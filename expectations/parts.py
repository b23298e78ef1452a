"""The parts of a contract: what a column measures, rules between columns, personas, products."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

LONGEST_ID = 200  # letters: what the segment store has room for

Use = Literal["segment", "describe", "objection", "ignore"]
Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Whole = Annotated[int, Field(strict=True)]


class Kind(NamedTuple):
    """What follows from what a column measures."""

    numeric: bool
    use: Use
    low: float | None = None
    high: float | None = None
    whole: bool = False
    log: bool = False
    unit: str = ""


KINDS: Mapping[str, Kind] = {
    "money": Kind(True, "segment", 0, 1e9, log=True, unit="money"),
    "count": Kind(True, "segment", 0, 1e9, whole=True, log=True, unit="times"),
    "share": Kind(True, "segment", 0, 1, unit="share"),
    "months": Kind(True, "segment", 0, 1200, whole=True, unit="months"),
    "score": Kind(True, "segment", -1e9, 1e9),
    "category": Kind(False, "describe"),
    "flag": Kind(False, "describe"),
    "text": Kind(False, "describe"),
}


class Part(BaseModel):
    """A piece of a contract: nothing unknown in it, and never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Identifier(Part):
    """The column that tells customers apart, and what an id looks like (a full match).

    It has at most `LONGEST_ID` letters.
    """

    column: str
    pattern: Text = ".+"

    @model_validator(mode="after")
    def _compiles(self) -> "Identifier":
        try:
            re.compile(anchored(self.pattern))
        except re.error as error:
            raise ValueError(
                f"the pattern {self.pattern!r} is no regular expression: {error}"
            ) from None
        if re.search(r"(?<!\\)(?:\\\\)*\\d", self.pattern):
            raise ValueError("\\d takes digits of every script: write [0-9] in the pattern")
        return self


class Column(Part):
    """One column: what it measures (`kind`), what it is for (`use`), and its bounds."""

    kind: Literal["money", "count", "share", "months", "score", "category", "flag", "text"]
    meaning: str = ""
    use: Use = Field(default="segment", validate_default=False)
    low: Number | None = None
    high: Number | None = None
    warn_high: Number | None = None
    max_null_share: Number = Field(default=0, ge=0, le=1)
    values: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_kind(cls, given: Any) -> Any:
        kind = given.get("kind") if isinstance(given, Mapping) else None
        if not isinstance(kind, str) or kind not in KINDS:
            return given
        defaults = KINDS[kind]
        return {"use": defaults.use, "low": defaults.low, "high": defaults.high, **given}

    @model_validator(mode="after")
    def _is_possible(self) -> "Column":
        self._check_bounds()
        if self.values and self.kind not in ("category", "text"):
            raise ValueError(f"values are for a category or text, and this is a {self.kind}")
        if self.use == "segment" and not self.is_numeric:
            raise ValueError(f"a {self.kind} cannot segment customers: say use: describe")
        if self.use == "objection" and self.kind != "flag":
            raise ValueError(f"an objection is a flag, not a {self.kind}: say kind: flag")
        return self

    def _check_bounds(self) -> None:
        low, high, warn_high = self.low, self.high, self.warn_high
        if not self.is_numeric:
            if (low, high, warn_high) != (None, None, None):
                raise ValueError(f"impossible bound: a {self.kind} has no low or high")
        elif low is None or high is None:
            raise ValueError("impossible bound: low and high must be numbers")
        elif not low < high:
            raise ValueError(f"impossible bound: low {low:g} must be below high {high:g}")
        elif warn_high is not None and not low < warn_high < high:
            raise ValueError(
                f"impossible bound: warn_high {warn_high:g} must lie between "
                f"low {low:g} and high {high:g}"
            )

    @property
    def is_numeric(self) -> bool:
        """Whether the column holds numbers."""
        return KINDS[self.kind].numeric

    @property
    def is_logged(self) -> bool:
        """Whether log1p is taken of it before scaling."""
        return KINDS[self.kind].log

    @property
    def is_whole(self) -> bool:
        """Whether its numbers have no fraction."""
        return KINDS[self.kind].whole


class _Identity(Part):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    severity: Literal["set_aside", "warn"] = "warn"
    says: str = ""


class Sum(_Identity):
    """`total` equals the sum of `parts`, up to `tolerance` (in the columns' unit)."""

    test: Literal["sum"]
    total: str
    parts: tuple[str, ...] = Field(min_length=1)
    tolerance: Number = Field(default=0.01, ge=0)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns it reads, the total first."""
        return (self.total, *self.parts)


class Together(_Identity):
    """The columns are above zero together, or none of them is."""

    test: Literal["together"]
    columns: tuple[str, ...] = Field(min_length=2)


class AtMost(_Identity):
    """`smaller` is at most `factor` times `larger`."""

    test: Literal["at_most"]
    smaller: str
    larger: str
    factor: Number = Field(default=1, gt=0)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns it reads, the smaller first."""
        return (self.smaller, self.larger)


Identity = Annotated[Sum | Together | AtMost, Field(discriminator="test")]


class Condition(Part):
    """Bounds on one column within a persona's pattern; all that are given must hold."""

    below: Number | None = None
    at_most: Number | None = None
    above: Number | None = None
    at_least: Number | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> "Condition":
        lows = [low for low in (self.above, self.at_least) if low is not None]
        highs = [high for high in (self.below, self.at_most) if high is not None]
        if not lows and not highs:
            raise ValueError("a condition needs below, at_most, above or at_least")
        if lows and highs:
            low, high = max(lows), min(highs)
            if low > high or (low == high and (self.above == low or self.below == high)):
                raise ValueError("impossible bound: no number fulfils this condition")
        return self


class Actions(Part):
    """What marketing can do for such customers."""

    retention: str = ""
    campaign: str = ""


class Persona(Part):
    """A named pattern of customers; the first that matches from the top is theirs."""

    name: Text
    code: Text
    when: dict[str, Condition] = Field(default_factory=dict)
    actions: Actions = Actions()
    care: bool = False


class Product(Part):
    """Which columns show that a product is used, and which totals contain it."""

    name: Text
    columns: tuple[str, ...] = Field(min_length=1)
    totals: tuple[str, ...] = ()
    care: bool = False


class Rows(Part):
    """How many customers a month can have."""

    low: Whole = Field(default=100, ge=1)
    high: Whole = Field(default=50_000_000, ge=1)

    @model_validator(mode="after")
    def _is_possible(self) -> "Rows":
        if self.low > self.high:
            raise ValueError(f"impossible bound: low {self.low} must not be above high {self.high}")
        return self


def anchored(pattern: str) -> str:
    r"""A pattern that must match the whole of a text that a database has room for.

    `\Z`, since `$` lets a line break pass.
    """
    return rf"\A(?=[\s\S]{{1,{LONGEST_ID}}}\Z)(?:{pattern})\Z"


# Which fields are allowed below which key of the YAML, or below which test of a rule.
PARTS: Mapping[str, type[BaseModel]] = {
    "id": Identifier,
    "rows": Rows,
    "columns": Column,
    "sum": Sum,
    "together": Together,
    "at_most": AtMost,
    "personas": Persona,
    "when": Condition,
    "actions": Actions,
    "products": Product,
}
