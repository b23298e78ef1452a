"""From a run's folder to the segment store: a month that is published, or a line that says why not.

Everything is read from the folder, so that a person may decide days after the run has ended.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from tasks import reporting
from tasks.base import open_if_there
from tasks.clustering import CHAMPION
from tasks.ingestion import OBJECTIONS
from tasks.modelfile import StoredModel, stored_as
from tasks.objections import remember
from tasks.order import Base, Published
from tasks.published import run_line
from tasks.publishing import Publication, decide, publish, record
from tasks.run import Run
from tasks.store import Store, open_store

OF_A_SEGMENT = ("size", "share", "value", "value_share", "size_change", "from_birth", "name")


def deliver(url: str, run: Run, at: str, decision: Mapping[str, Any] | None = None) -> Published:
    """Publish a run to the store at `url`, and note in its manifest that it is.

    Doing it twice changes nothing. Raises `Superseded` where what the run rests on has changed.
    """
    store = open_store(url, run.manifest["origin"])
    _remember_objections(store, run)
    done = publish(store, publication_of(run, at, decision))
    run.note(
        status="published",
        error=None,
        model=run_line(store, run.id)["model"],  # a killed decision may have published another
        publication={
            "revision": done.revision,
            "at": at,
            "store": store.database.shown,
            "is_current": not run.manifest["base"]["is_older"],
        },
    )
    return done


def note_in_store(url: str, run: Run, decision: Mapping[str, Any] | None = None) -> None:
    """A line in the store for a run that was not published; nothing where there is no store."""
    store = open_if_there(url, run.manifest["origin"], run.asked_for["publish"] != "never")
    if store is None:
        return
    if run.manifest["status"] != "refused":
        _remember_objections(store, run)
    record(store, {**facts_of(run), "status": run.manifest["status"]})
    if decision is not None:
        decide(store, run.id, decision)


def _remember_objections(store: Store, run: Run) -> None:
    """Tell the store who objected in the run's source, where its contract has such a column.

    Of those whose row was set aside nobody knows, so only who was kept counts as not objecting.
    """
    if (objecting := run.part(OBJECTIONS)) is not None:
        month = pd.Period(run.manifest["month"], "M")
        kept = run.read(run.path("clean"))[run.contract.id.column]
        remember(store, month, run.read(objecting)["hash"], kept)


def publication_of(run: Run, at: str, decision: Mapping[str, Any] | None = None) -> Publication:
    """What the store takes of a complete run."""
    rests, log = run.manifest["base"], run.log("segments")
    whose = run.manifest["model"]
    moves = run.read(run.path("moves.parquet"))
    births = run.read(run.path("births.json"))
    return Publication(
        facts={**facts_of(run), "published_at": at},
        base=Base(**{name: rests[name] for name in Base._fields}),
        model=model_of(run),
        segments=segment_rows(run.read(run.path("publication"))),
        assignments=moves[moves["status"] != "left"].drop(
            columns=["was_assessed", "previous_value"]
        ),
        migration=run.read(run.path("migration.parquet")),
        born=[] if whose == CHAMPION else [(one, births[one]) for one in log["born"]],
        decision=decision,
    )


def facts_of(run: Run) -> dict[str, Any]:
    """A run's line in the store."""
    manifest = run.manifest
    summary = reporting.summarise(manifest, run.folder)
    has_reference = run.part("reference.json") is not None
    return {
        "run_id": run.id,
        "month": manifest["month"],
        "origin": manifest["origin"],
        "model": manifest["model"],
        "contract": manifest["contract"]["name"],
        "contract_sha256": manifest["contract"]["sha256"],
        "source_uri": manifest["source"]["uri"],
        "source_sha256": manifest["source"].get("sha256"),
        "parameters_sha256": manifest["parameters_sha256"],
        "rows": manifest.get("rows"),
        "metrics": summary["metrics"],
        "reference": run.read(run.path("reference.json")) if has_reference else None,
        "summary": summary,
        "k": summary["k"],
        "space": summary["space"],
        "error": manifest.get("error"),
        "started_at": manifest["started"],
    }


def model_of(run: Run) -> StoredModel:
    """The model whose assignments are published, as it is in the folder."""
    rests = run.manifest["base"]
    if run.manifest["model"] == CHAMPION:
        content = run.path("base/champion.skops").read_bytes()
        return StoredModel(content=content, **rests["model"])
    content = run.path("model.skops").read_bytes()
    ids, space = run.log("segments")["challenger_ids"], run.log("selection")["space"]
    return stored_as(content, run.contract, ids, space, run.id)


def segment_rows(publication: pd.DataFrame) -> pd.DataFrame:
    """The publication stage as the table `segments`; what is no column of it is the profile."""
    known = publication[["segment", *OF_A_SEGMENT]].rename(columns={"segment": "segment_id"})
    profile = publication.drop(columns=["segment", *OF_A_SEGMENT])
    lines = [
        {str(name): None if pd.isna(value) else value for name, value in line.items()}
        for line in profile.to_dict("records")
    ]
    return known.assign(profile=pd.Series(lines, dtype=object))
