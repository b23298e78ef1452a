"""The contract of a customer table: what its columns measure and what they are for."""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from expectations.errors import InputError
from expectations.parts import (
    PARTS,
    Column,
    Identifier,
    Identity,
    Part,
    Persona,
    Product,
    Rows,
)
from expectations.wording import in_words

__all__ = ["Column", "Contract", "header_key", "load_contract", "parse_contract"]

CONTRACTS = Path(__file__).with_name("contracts")

# Ids of the gate's own rules, and columns that the later stages add: not to be had twice.
RULES_TAKEN = ("columns", "customers", "few_refused", "rows")
COLUMNS_TAKEN = (
    *("segment", "confidence", "runner_up", "name", "size", "share", "size_change"),
    *("value", "value_share", "from_birth", "joined", "entered", "exited", "gone"),
    *("churn", "refit", "typical", "customer_id", "segment_id", "persona", "code", "care"),
    *("matched", "retention", "campaign", "colour", "next_product", "likeness"),
)


class Contract(Part):
    """A customer table's contract. Raises `InputError` from `load_contract` when it is wrong."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")]
    id: Identifier
    value: str | None = None
    rows: Rows = Rows()
    columns: dict[str, Column] = Field(min_length=1)
    rules: tuple[Identity, ...] = ()
    personas: tuple[Persona, ...] = ()
    products: tuple[Product, ...] = ()

    @model_validator(mode="after")
    def _hangs_together(self) -> "Contract":
        self._check_columns()
        self._check_doubled()
        for who, columns in self._readers():
            for column in columns:
                self._check_is_a_number(who, column)
        for rule in self.rules:
            if rule.name in RULES_TAKEN:
                raise ValueError(f"the gate has a rule {rule.name} of its own: rename yours")
            if len(set(rule.columns)) < len(rule.columns):
                raise ValueError(f"rule {rule.name} names a column twice")
        return self

    def _check_columns(self) -> None:
        if self.id.column in self.columns:
            raise ValueError(f"{self.id.column} is the id and must not be among the columns")
        if not self.features:
            raise ValueError("no column has use: segment, so there is nothing to segment by")
        for name in (self.id.column, *self.columns):
            if name.startswith("_"):
                raise ValueError(f"names that start with an underscore are reserved: {name}")
            if name in COLUMNS_TAKEN or name.startswith(("champion_", "challenger_")):
                raise ValueError(
                    f"a later stage has a column {name} of its own: "
                    f"choose another name, and give {name} as an alias"
                )
        blank = [header for header in self.headers if not header_key(header)]
        if blank:
            raise ValueError(f"a header needs letters or digits, and {blank[0]!r} has none")

    def _check_doubled(self) -> None:
        for what, names in (
            ("rule", [rule.name for rule in self.rules]),
            ("persona", [persona.name for persona in self.personas]),
            ("persona's code", [persona.code for persona in self.personas]),
            ("product", [product.name for product in self.products]),
        ):
            doubled = sorted({name for name in names if names.count(name) > 1})
            if doubled:
                raise ValueError(f"doubled {what}: {', '.join(doubled)}")
        spellings: dict[str, list[str]] = {}
        for header in self.headers:
            spellings.setdefault(header_key(header), []).append(header)
        for same in spellings.values():
            if len(same) > 1:
                raise ValueError(
                    f"doubled header: {' and '.join(same)} are the same in a source "
                    "(case, spaces, dots, dashes and underscores do not count)"
                )

    def _readers(self) -> list[tuple[str, tuple[str, ...]]]:
        """Who reads which columns, beside the stages."""
        return [
            ("value", (self.value,) if self.value is not None else ()),
            *((f"rule {rule.name}", rule.columns) for rule in self.rules),
            *((f"persona {persona.name}", tuple(persona.when)) for persona in self.personas),
            *((f"product {p.name}", (*p.columns, *p.totals)) for p in self.products),
        ]

    def _check_is_a_number(self, who: str, name: str) -> None:
        column = self.columns.get(name)
        if column is None:
            near = difflib.get_close_matches(name, self.columns, n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise ValueError(f"{who} is about {name}, which is not among the columns{hint}")
        if not column.is_numeric:
            raise ValueError(f"{who} needs a number, but {name} is a {column.kind}")
        if column.use == "ignore":
            raise ValueError(f"{who} is about {name}, whose use is ignore")

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
        return _sha256(self.model_dump(mode="json"))

    def fingerprint(self, columns: Iterable[str] | None = None) -> str:
        """Hash of what a model rests on: the id, and kind, use and transform of its columns.

        `columns` are those that the model was fitted under, all kept ones by default: a column
        that came later changes nothing, one that changed or is gone gives another hash.
        """
        asked = {
            name: self.columns.get(name) for name in (self.kept if columns is None else columns)
        }
        meant = {name: (c.kind, c.use, c.is_logged) if c else None for name, c in asked.items()}
        return _sha256({"id": self.id.column, "columns": meant})


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def header_key(header: str) -> str:
    """A header without case, spaces, dots, dashes and underscores."""
    return re.sub(r"[\s._-]", "", header).casefold()


def load_contract(name_or_file: str) -> Contract:
    """Load a contract by the name of a shipped one, or from a YAML file.

    Raises `InputError` that names the place in the file and what is allowed there.
    """
    for path in (CONTRACTS / f"{name_or_file}.yaml", Path(name_or_file)):
        content = _content(path)
        if content is not None:
            return parse_contract(content, name_or_file)
    shipped = ", ".join(sorted(file.stem for file in CONTRACTS.glob("*.yaml")))
    raise InputError(
        f"contract {name_or_file}: no such contract or file. "
        f"Give the path of a YAML file, or the name of a shipped contract ({shipped})."
    )


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None
    except (OSError, ValueError):  # no such name can be: too long, or with a null character
        return None


def parse_contract(content: bytes, name: str) -> Contract:
    """Read a contract from YAML; `name` is for messages."""
    given = _read_yaml(content, name)
    if not isinstance(given, dict):
        raise InputError(f"contract {name} holds no mapping: it starts with `name: ...`.")
    try:
        return Contract.model_validate(given)
    except ValidationError as error:
        problems = in_words(error, given, Contract, PARTS)
        raise InputError(f"contract {name} is wrong: {problems}") from None


def _read_yaml(content: bytes, name: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="safe").load(content)
    except DuplicateKeyError as error:
        problem = str(error.problem).split(" with value")[0]
        where = f"line {error.problem_mark.line + 1}"
        raise InputError(
            f"contract {name}: {problem}, {where}. Keep one of the two and run again."
        ) from None
    except MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(
            f"contract {name} is not readable YAML{where}: {error.problem or error.context}. "
            "Mend that and run again."
        ) from None
    except (YAMLError, RecursionError, ValueError) as error:
        why = str(error).partition("\n")[0]
        raise InputError(
            f"contract {name} is not readable YAML: {why}. Give a text file in UTF-8."
        ) from None
