"""The contract of a customer table: what its columns measure and what they are for."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from expectations.errors import InputError

CONTRACTS = Path(__file__).with_name("contracts")

Use = Literal["segment", "describe", "objection", "ignore"]


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


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Identifier(_Part):
    """The column that tells customers apart, and what an id looks like (a full match)."""

    column: str
    pattern: str = ".+"

    @model_validator(mode="after")
    def _compiles(self) -> "Identifier":
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(
                f"the id's pattern {self.pattern!r} is no regular expression: {error}"
            ) from None
        return self


class Column(_Part):
    """One column: what it measures (`kind`), what it is for (`use`), and its bounds."""

    kind: Literal["money", "count", "share", "months", "score", "category", "flag", "text"]
    meaning: str = ""
    use: Use = Field(default="segment", validate_default=False)
    low: float | None = None
    high: float | None = None
    warn_high: float | None = None
    max_null_share: float = Field(default=0, ge=0, le=1)
    values: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_kind(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or given.get("kind") not in KINDS:
            return given
        kind = KINDS[given["kind"]]
        return {"use": kind.use, "low": kind.low, "high": kind.high, **given}

    @model_validator(mode="after")
    def _is_possible(self) -> "Column":
        if self.is_numeric:
            if self.low is None or self.high is None or not self.low < self.high:
                raise ValueError(
                    f"impossible bound: low {self.low:g} must be below high {self.high:g}"
                )
            if self.warn_high is not None and not self.low < self.warn_high < self.high:
                raise ValueError(
                    f"impossible bound: warn_high {self.warn_high:g} must lie between "
                    f"low {self.low:g} and high {self.high:g}"
                )
        elif self.low is not None or self.high is not None or self.warn_high is not None:
            raise ValueError(f"impossible bound: a {self.kind} has no low or high")
        if self.use == "segment" and not self.is_numeric:
            raise ValueError(f"a {self.kind} cannot segment customers: say use: describe")
        if self.use == "objection" and self.kind != "flag":
            raise ValueError(f"an objection is a flag, not a {self.kind}")
        return self

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


class _Identity(_Part):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    severity: Literal["set_aside", "warn"] = "warn"
    says: str = ""


class Sum(_Identity):
    """`total` equals the sum of `parts`, up to `tolerance` (in the columns' unit)."""

    test: Literal["sum"]
    total: str
    parts: tuple[str, ...] = Field(min_length=1)
    tolerance: float = Field(default=0.01, ge=0)

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
    factor: float = Field(default=1, gt=0)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns it reads, the smaller first."""
        return (self.smaller, self.larger)


Identity = Annotated[Sum | Together | AtMost, Field(discriminator="test")]


class Condition(_Part):
    """Bounds on one column within a persona's pattern; all that are given must hold."""

    below: float | None = None
    at_most: float | None = None
    above: float | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> "Condition":
        if not self.model_fields_set:
            raise ValueError("a condition needs below, at_most, above or at_least")
        return self


class Actions(_Part):
    """What marketing can do for such customers."""

    retention: str = ""
    campaign: str = ""


class Persona(_Part):
    """A named pattern of customers; the first that matches from the top is theirs."""

    name: str
    code: str
    when: dict[str, Condition] = Field(default_factory=dict)
    actions: Actions = Actions()
    care: bool = False


class Product(_Part):
    """Which columns show that a product is used, and which totals contain it."""

    name: str
    columns: tuple[str, ...] = Field(min_length=1)
    totals: tuple[str, ...] = ()
    care: bool = False


class Rows(_Part):
    """How many customers a month can have."""

    low: int = Field(default=100, ge=1)
    high: int = Field(default=50_000_000, ge=1)

    @model_validator(mode="after")
    def _is_possible(self) -> "Rows":
        if self.low > self.high:
            raise ValueError(f"impossible bound: rows low {self.low} is above high {self.high}")
        return self


class Contract(_Part):
    """A customer table's contract. Raises `InputError` from `load_contract` when it is wrong."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    id: Identifier
    value: str | None = None
    rows: Rows = Rows()
    columns: dict[str, Column] = Field(min_length=1)
    rules: tuple[Identity, ...] = ()
    personas: tuple[Persona, ...] = ()
    products: tuple[Product, ...] = ()

    @model_validator(mode="after")
    def _hangs_together(self) -> "Contract":
        self._check_names()
        used = [("value", (self.value,) if self.value else ())]
        used += [(f"rule {rule.name}", rule.columns) for rule in self.rules]
        used += [(f"persona {persona.name}", tuple(persona.when)) for persona in self.personas]
        used += [(f"product {p.name}", (*p.columns, *p.totals)) for p in self.products]
        for who, columns in used:
            for column in columns:
                if column not in self.columns:
                    raise ValueError(f"{who} is about {column}, which is not among the columns")
                if not self.columns[column].is_numeric:
                    raise ValueError(f"{who} needs a number, but {column} is no number")
                if self.columns[column].use == "ignore":
                    raise ValueError(f"{who} is about {column}, whose use is ignore")
        return self

    def _check_names(self) -> None:
        if self.id.column in self.columns:
            raise ValueError(f"{self.id.column} is the id and must not be among the columns")
        if not self.features:
            raise ValueError("no column has use: segment, so there is nothing to segment by")
        for what, names in (
            ("rule", [rule.name for rule in self.rules]),
            ("persona", [persona.name for persona in self.personas]),
            ("header", [header_key(header) for header in self.headers]),
        ):
            doubled = sorted({name for name in names if names.count(name) > 1})
            if doubled:
                raise ValueError(f"doubled {what}: {', '.join(doubled)}")
        hidden = [column for column in self.columns if column.startswith("_")]
        if hidden:
            raise ValueError(f"names that start with an underscore are reserved: {hidden}")

    @property
    def headers(self) -> tuple[str, ...]:
        """Every spelling under which a column may stand in a source."""
        aliases = [alias for column in self.columns.values() for alias in column.aliases]
        return (self.id.column, *self.columns, *aliases)

    @property
    def kept(self) -> dict[str, Column]:
        """Columns that a stage may hold: neither ignored nor an objection."""
        return {n: c for n, c in self.columns.items() if c.use in ("segment", "describe")}

    @property
    def numeric(self) -> tuple[str, ...]:
        """Kept columns that hold numbers, in the contract's order."""
        return tuple(name for name, column in self.kept.items() if column.is_numeric)

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that may become clustering features, in the contract's order."""
        return tuple(n for n, column in self.columns.items() if column.use == "segment")

    @property
    def objections(self) -> tuple[str, ...]:
        """Flags by which a customer objects to profiling."""
        return tuple(n for n, column in self.columns.items() if column.use == "objection")

    @property
    def sha256(self) -> str:
        """Hash of the whole contract."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def header_key(header: str) -> str:
    """A header without case, spaces, dots, dashes and underscores."""
    return re.sub(r"[\s._-]", "", header).casefold()


def load_contract(name_or_file: str) -> Contract:
    """Load a contract by the name of a shipped one, or from a YAML file.

    Raises `InputError` that names the place in the file and what is allowed there.
    """
    path = CONTRACTS / f"{name_or_file}.yaml"
    if not path.is_file():
        path = Path(name_or_file)
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in CONTRACTS.glob("*.yaml")))
        raise InputError(
            f"contract {name_or_file}: no such contract or file. "
            f"Give the path of a YAML file, or the name of a shipped contract ({shipped})."
        )
    return parse_contract(path.read_bytes(), str(name_or_file))


def parse_contract(content: bytes, name: str) -> Contract:
    """Read a contract from YAML; `name` is for messages."""
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import YAMLError

    try:
        given = YAML(typ="safe").load(content)
    except DuplicateKeyError as error:
        problem = str(error.problem).split(" with value")[0]
        where = f"line {error.problem_mark.line + 1}"
        raise InputError(
            f"contract {name}: {problem}, {where}. Keep one of the two and run again."
        ) from None
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        raise InputError(
            f"contract {name} is not readable YAML: {' '.join(str(error).split())}"
        ) from None
    if not isinstance(given, dict):
        raise InputError(f"contract {name} holds no mapping: it starts with `name: ...`.")
    try:
        return Contract.model_validate(given)
    except ValidationError as error:
        raise InputError(f"contract {name} is wrong: {_in_words(error)}") from None


def _in_words(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        what = problem["msg"].removeprefix("Value error, ")
        if problem["type"] in ("literal_error", "union_tag_invalid"):
            what = f"{problem['input']!r} is unknown. {what}"
        lines.append(f"{where}: {what}" if where else what)
    return "; ".join(lines)
