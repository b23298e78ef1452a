"""The monthly flow: read, clean, scale, select, embed, cluster, profile, report."""

from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd
from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State

from expectations.contract import Contract, load_contract
from expectations.errors import OutsideError
from expectations.gate import GateRefused
from flows.parameters import Previous, SegmentParameters
from tasks import artifacts, ingestion, reporting, steps
from tasks.run import Run, new_run_id
from tasks.runs import find_run

PACKAGES = [
    "resegment",
    "prefect",
    "pandas",
    "numpy",
    "pyarrow",
    "scikit-learn",
    "tensorflow",
    "great-expectations",
    "skops",
]

EVERYTHING_BY_DEFAULT = SegmentParameters()


@flow(name="segment")
def segment(
    parameters: SegmentParameters = EVERYTHING_BY_DEFAULT,
    resume: str = "",
    previous: Previous | None = None,
) -> State:
    """Segment one month of customers, each step behind its gate.

    Args:
        parameters: What is asked for.
        resume: Id of an unfinished run: its own parameters are taken, and what is kept stays.
        previous: What is known of the month before.
    """
    run = open_run(parameters, resume, previous)
    uri = source_of(run, parameters)
    with run.lock():
        run.note(status="running", error=None)
        try:
            monthly(uri, run)
            return conclude(run)
        except GateRefused as refusal:
            return refuse(run, refusal)
        except BaseException as error:
            why = str(error) or f"stopped ({type(error).__name__})"
            with suppress(OutsideError):  # a full disk must not hide what happened
                run.note(status="failed", error=why, ended=_now())
            raise


def monthly(uri: str, run: Run) -> None:
    """The steps in order; the exploration runs beside the main line."""
    raw = steps.read(uri, run)
    exploration = steps.explore.submit(raw, run)
    try:
        clean = steps.clean(raw, run)
        scaled = steps.scale(clean, run)
        selection = steps.select(scaled, clean, run)
        embedding = steps.embed(scaled, selection, run)
        segments = steps.cluster(embedding, scaled, run)
        publication = steps.profile(segments, clean, run)
    finally:
        exploration.wait()
    exploration.result()
    steps.draw(selection, publication, run)


def conclude(run: Run) -> State:
    """A complete run: a candidate, or awaiting a person where a gate asked."""
    asked = [stage for stage, gate in run.manifest["gates"].items() if gate["verdict"] == "ask"]
    run.note(status="awaiting" if asked else "candidate", ended=_now())
    steps.report(run)
    if asked:
        message = f"{run.id}: the gate of {', '.join(asked)} asks for a person's decision."
        return Completed(name="Awaiting", message=message)
    if not run.manifest["publishable"]:
        return Completed(message=f"{run.id}: complete, for comparison; it is never published.")
    return Completed(message=f"{run.id}: complete, a candidate for publication.")


def refuse(run: Run, refusal: GateRefused) -> State:
    """A refused run: reported, told to whoever listens, and told apart from a crash."""
    run.note(status="refused", error=str(refusal), ended=_now())
    steps.report(run)
    artifacts.refused(reporting.summarise(run.manifest, run.folder), str(refusal))
    return Failed(name="Refused", message=str(refusal))


def open_run(parameters: SegmentParameters, resume: str, previous: Previous | None) -> Run:
    """A new run's folder, the folder of this flow run's earlier try, or the one to resume."""
    if resume:
        return find_run(parameters.runs_folder, resume)
    start = flow_run.scheduled_start_time or datetime.now(UTC)
    month = parameters.month_at(start.astimezone())
    contract = load_contract(parameters.contract)
    facts = first_facts(parameters, contract, month, previous)
    return Run.open(parameters.runs_folder, new_run_id(month, flow_run.id), facts)


def first_facts(
    parameters: SegmentParameters, contract: Contract, month: pd.Period, previous: Previous | None
) -> dict[str, Any]:
    """What the manifest says before the first step."""
    uri = ingestion.public_uri(ingestion.resolve_uri(parameters.source.uri, month))
    source = parameters.source.model_copy(update={"uri": uri})
    return {
        "month": str(month),
        "origin": "synthetic" if uri == "sample" else "real",
        "status": "running",
        "model": "challenger",
        "source": {"uri": uri},
        "contract": {
            "name": contract.name,
            "sha256": contract.sha256,
            "content": contract.model_dump(mode="json", exclude_unset=True),
        },
        "parameters": parameters.model_copy(update={"source": source}).model_dump(mode="json"),
        "previous": previous.model_dump(mode="json") if previous else None,
        "versions": {name: _version(name) for name in PACKAGES},
        "started": _now(),
        "flow_run_id": str(flow_run.id),
        "publishable": parameters.preset == "monthly",
        "publication": None,
        "decisions": [],
    }


def source_of(run: Run, parameters: SegmentParameters) -> str:
    """Where to read: as the caller gave it now, if it is what the run was started with.

    The manifest keeps no query string (a signed URL holds a secret there), so whoever resumes
    before the source was read gives it again.
    """
    kept = run.manifest["source"]["uri"]
    given = ingestion.resolve_uri(parameters.source.uri, pd.Period(run.manifest["month"], "M"))
    return given if ingestion.public_uri(given) == kept else kept


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
