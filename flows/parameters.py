"""What a run is asked for: composed here, explained beside what it governs.

These models are also the form in the Prefect UI.
"""

import hashlib
import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from expectations.rules import Limits
from tasks.embedding import EmbeddingOptions
from tasks.ingestion import SourceOptions
from tasks.plain_rule import PlainRuleOptions
from tasks.scaling import ScalingOptions
from tasks.selection import SelectionOptions
from tasks.source import without_password
from tasks.typicality import TypicalityOptions


class SegmentParameters(BaseModel):
    """The parameters of a monthly run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["monthly", "notebook"] = Field(
        default="monthly",
        title="Preset",
        description="monthly chooses and audits; notebook reruns the usual notebook beside it "
        "(means, z-scores, seven segments), for comparison: it is never published.",
    )
    source: SourceOptions = Field(default=SourceOptions(), title="Customers")
    month: str = Field(
        default="",
        title="Month",
        description="YYYY-MM, the month that the table describes. "
        "Empty: the last whole month before the scheduled start.",
    )
    contract: str = Field(
        default="ccdata",
        title="Contract",
        description="Name of a shipped contract, or the path of a YAML file.",
    )
    selection: SelectionOptions = Field(default=SelectionOptions(), title="Number of segments")
    embedding: EmbeddingOptions = Field(default=EmbeddingOptions(), title="Space")
    scaling: ScalingOptions = Field(default=ScalingOptions(), title="Features")
    plain_rule: PlainRuleOptions = Field(default=PlainRuleOptions(), title="The plain rule")
    typicality: TypicalityOptions = Field(default=TypicalityOptions(), title="Typicality")
    limits: Limits = Field(default=Limits(), title="Limits")
    refit: Literal["auto", "always", "never"] = Field(
        default="auto",
        title="Refit",
        description="auto: the published model assigns, and a new fit is a second opinion. "
        "always: a new fit is published, columns and space chosen anew. never: no new fit.",
    )
    publish: Literal["auto", "ask", "never"] = Field(
        default="auto",
        title="Publish",
        description="auto: where no limit asks for a person. ask: after a person's decision. "
        "never: the run stays a candidate.",
    )
    seed: int = Field(
        default=0, ge=0, title="Seed", description="The same seed gives the same segments."
    )
    runs: str = Field(
        default="",
        title="Runs folder",
        description="Where run folders go. Empty: RESEGMENT_RUNS, else ./runs.",
    )
    store: str = Field(
        default="",
        title="Segment store",
        description="SQLAlchemy URL of the database that months are published to, without a "
        "password. Empty: RESEGMENT_STORE, else segments.db (demo.db for `sample`) among the runs.",
    )

    @model_validator(mode="after")
    def _a_preset_is_whole(self) -> "SegmentParameters":
        own = {
            "segments": self.selection.segments != 0,
            "embedding": self.embedding.embedding != "auto",
            "scaling": self.scaling != ScalingOptions(),
        }
        given = [name for name, is_set in own.items() if is_set]
        if self.preset == "notebook" and given:
            raise ValueError(
                f"the preset notebook has a way of its own with {' and '.join(given)}: "
                "leave that as it is, or take the preset monthly"
            )
        return self

    @field_validator("store")
    @classmethod
    def _holds_no_password(cls, store: str) -> str:
        return without_password(store)

    @field_validator("month")
    @classmethod
    def _is_a_month(cls, month: str) -> str:
        if month and not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", month):
            raise ValueError(f"{month!r} is no month: write YYYY-MM, as 2026-03")
        return month

    @property
    def runs_folder(self) -> Path:
        """Where run folders go."""
        return runs_folder(self.runs)

    @property
    def store_url(self) -> str:
        """The segment store, as it is opened: it may hold a password from the environment."""
        return store_url(self.store, self.runs_folder, is_synthetic=self.source.uri == "sample")

    @property
    def sha256(self) -> str:
        """Hash of all that a result depends on beside the customers and their contract."""
        asked_for = self.model_dump(
            mode="json", exclude={"runs", "store", "publish", "month", "contract"}
        )
        for where in ("uri", "secret"):
            asked_for["source"].pop(where)
        return hashlib.sha256(json.dumps(asked_for, sort_keys=True).encode()).hexdigest()

    def month_at(self, start: datetime) -> pd.Period:
        """The month asked for, or the last whole one before `start`."""
        return pd.Period(self.month, "M") if self.month else last_whole_month(start)


def store_url(given: str, runs: Path, *, is_synthetic: bool) -> str:
    """The store given, else `RESEGMENT_STORE`, else a SQLite file among the runs.

    Synthetic months have a file of their own: a store holds real or synthetic ones, never both.
    """
    name = "demo.db" if is_synthetic else "segments.db"
    return given or os.environ.get("RESEGMENT_STORE") or f"sqlite:///{runs.resolve() / name}"


def known_store(given: str, runs: Path) -> str:
    """The store that is there: the one given, `RESEGMENT_STORE`, else a SQLite file among the runs.

    That of real months, if there is one.
    """
    real, synthetic = (store_url(given, runs, is_synthetic=one) for one in (False, True))
    path = Path(real.removeprefix("sqlite:///"))
    return real if real == synthetic or path.exists() else synthetic


def recordable(store: str) -> str:
    """A store's URL that may be a flow's parameter: Prefect records those.

    Raises `ValidationError` where it holds a password; the environment's is never passed on.
    """
    return SegmentParameters(store=store).store


def runs_folder(given: str | Path = "") -> Path:
    """The folder given, else `RESEGMENT_RUNS`, else `./runs`."""
    return Path(given or os.environ.get("RESEGMENT_RUNS") or "runs")


def last_whole_month(start: datetime) -> pd.Period:
    """The last calendar month that was over at `start`, in the time zone of `start`."""
    return pd.Period(year=start.year, month=start.month, freq="M") - 1
