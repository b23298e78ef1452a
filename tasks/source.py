"""What is asked of a source: where the month's customers come from, and how they are written."""

import re
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

if TYPE_CHECKING:
    from tasks.sample import Moves

DATABASE = re.compile(r"(?:postgres(?:ql)?|sqlite)(?:\+\w+)?://", re.IGNORECASE)
PASSWORD = re.compile(r"\w[\w+.-]*://(?:[^/@]*:[^/@]+@|.*[?&](?:ssl)?password=)")


class PlantedMoves(BaseModel):
    """Synthetic customers whose usage pattern changes in a month, and stays changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    month: str = Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$", title="Month", description="YYYY-MM.")
    share: float = Field(
        ge=0, le=1, title="Share", description="How many of those who could move, as .05."
    )
    source: str = Field(
        default="", title="From", description="A usage pattern, such as `cash`. Empty: any."
    )
    target: str = Field(
        default="", title="To", description="A usage pattern. Empty: any of the others."
    )

    @model_validator(mode="after")
    def _can_be(self) -> "PlantedMoves":
        _ = self.moves  # raises `ValueError` where there is no such pattern
        return self

    @property
    def moves(self) -> "Moves":
        """The same, as the sample draws it."""
        import pandas as pd

        from tasks.sample import Moves

        month = pd.Period(self.month, "M")
        return Moves(month, self.share, self.source or None, self.target or None)


class SourceOptions(BaseModel):
    """Where the month's customers come from, and how the file is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str = Field(
        default="sample",
        title="Source",
        description="`sample`, the path or URL of a CSV, CSV.gz or Parquet file, or a database "
        "(postgresql://user@host/name, sqlite:////folder/file.db) with a query. `{month}` "
        "stands for the month as YYYY-MM. No passwords: they belong in the environment.",
    )
    query: str = Field(
        default="",
        title="Query",
        description="Of a database: one SELECT that gives the customers. `:month` stands for the "
        "month as 'YYYY-MM'.",
    )
    secret: str = Field(
        default="",
        title="Password",
        description="Of a database's user: the name of a Prefect Secret block that holds it. "
        "Empty: PGPASSWORD or ~/.pgpass of the machine that runs this.",
    )
    delimiter: str = Field(
        default="",
        title="Delimiter",
        description="The character between cells of a text file, such as `;`. Empty: found out.",
    )
    decimal: str = Field(
        default="",
        title="Decimal mark",
        description="`.` or `,` in the numbers of a text file. Empty: found out.",
    )
    encoding: str = Field(
        default="",
        title="Encoding",
        description="Of a text file, such as `latin-1`. Empty: UTF-8, or as its mark says.",
    )
    rows: int = Field(
        default=8950,
        ge=100,
        le=10_000_000,
        title="Rows of the sample",
        description="How many synthetic customers `sample` has.",
    )
    moves: tuple[PlantedMoves, ...] = Field(
        default=(),
        title="Moves planted in the sample",
        description="Customers of `sample` who change what they use.",
    )

    @field_validator("uri")
    @classmethod
    def _holds_no_password(cls, uri: str) -> str:
        return without_password(uri)

    @model_validator(mode="after")
    def _query_and_database_belong_together(self) -> "SourceOptions":
        if is_database(self.uri) and not self.query.strip():
            raise ValueError(
                'a database needs a query: --query "select * from customers where month = :month"'
            )
        if self.query and not is_database(self.uri):
            raise ValueError(
                "a query needs a database as source: postgresql://user@host/name or "
                "sqlite:////folder/file.db"
            )
        if self.secret and not self.query:
            raise ValueError("a password's Secret block is for a database with a query")
        if self.moves and self.uri != "sample":
            raise ValueError("moves can be planted in `sample` only")
        return self

    @property
    def planted(self) -> "tuple[Moves, ...]":
        """The planted moves, as the sample draws them."""
        return tuple(one.moves for one in self.moves)


def is_database(uri: str) -> bool:
    """Whether a source is a database that a query can be put to."""
    return bool(DATABASE.match(uri))


def without_password(url: str) -> str:
    """The URL as it is; raises `ValueError` where it holds a password."""
    if PASSWORD.match(url):
        raise ValueError(
            "a password in a URL would be recorded with the run: leave it out, "
            "and give it through the environment as the storage's driver asks"
        )
    return url
