"""The monthly flow: read, clean, scale, select, embed, cluster, profile, publish, report."""

import shutil
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State

from expectations.contract import Contract, load_contract
from expectations.errors import InputError, OutsideError, ResegmentError
from expectations.gate import GateRefused
from flows.parameters import SegmentParameters
from flows.passwords import password_of
from tasks import artifacts, ingestion, reporting, steps
from tasks.base import NothingToDo, RepeatedSource
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
) -> State:
    """Segment one month of customers, each step behind its gate, and publish it.

    Args:
        parameters: What is asked for.
        resume: Id of an unfinished run: its own parameters are taken, and what is kept stays.
    """
    run = open_run(parameters, resume)
    uri, store = source_of(run, parameters), store_of(run, parameters)
    with run.lock():
        run.note(status="running", error=None)
        try:
            monthly(uri, store, run, password_of(parameters.source.secret))
            return conclude(store, run)
        except NothingToDo as said:
            return undo(run, said)
        except (GateRefused, RepeatedSource) as refusal:
            return refuse(store, run, refusal)
        except BaseException as error:
            why = str(error) or f"stopped ({type(error).__name__})"
            with suppress(OutsideError):  # a full disk must not hide what happened
                run.note(status="failed", error=why, ended=now())
            raise


def monthly(uri: str, store: str, run: Run, password: str | None = None) -> None:
    """The steps in order; the exploration runs beside the main line."""
    steps.rest(store, run)
    raw = steps.read(uri, store, run, password)
    exploration = steps.explore.submit(raw, run)
    try:
        clean, selection, segments = segmented(raw, run)
        steps.offer(clean, run)
        publication = steps.profile(segments, clean, raw, run)
        steps.explain(publication, segments, clean, run.path("scaled"), run)
    finally:
        exploration.wait()
    exploration.result()
    steps.draw(selection, run)


def segmented(raw: Path, run: Run) -> tuple[Path, Path, Path]:
    """The steps from the customers to their segments: the stages clean, selection, segments."""
    clean = steps.clean(raw, run)
    scaled = steps.scale(clean, run)
    selection = steps.select(scaled, clean, run)
    embedding = steps.embed(scaled, clean, selection, run)
    return clean, selection, steps.cluster(embedding, scaled, clean, run)


def conclude(store: str, run: Run) -> State:
    """A complete run: published, awaiting a person, or a candidate."""
    wanted = run.asked_for["publish"]
    if done := run.manifest["publication"]:  # resumed: nobody is asked a second time
        return finish(store, run, done["at"])
    if not run.manifest["publishable"]:
        run.note(status="candidate", ended=now())
        steps.report(run)
        return Completed(message=f"{run.id}: complete, for comparison; it is never published.")
    if wanted == "never":
        run.note(status="candidate", ended=now())
        steps.report(run)
        steps.note_in_store(store, run)
        return Completed(message=f"{run.id}: complete, a candidate for publication.")
    asked = [*questions(run), *(["a person was to be asked"] if wanted == "ask" else [])]
    if asked:
        return wait_for_decision(store, run, asked)
    return finish(store, run, now())


def finish(store: str, run: Run, at: str) -> State:
    """Publish the month; if that was done before, nothing changes."""
    run.note(ended=now())
    steps.publish(store, run, at)
    steps.report(run)
    return Completed(message=f"{run.id}: {run.manifest['month']} is published.")


def questions(run: Run) -> list[str]:
    """What a person has to decide: a gate that asks, or a champion that is no more."""
    asks = run.manifest["base"]["asks"]
    return [*reporting.asked_in_words(run.manifest["gates"]), *([asks] if asks else [])]


def wait_for_decision(store: str, run: Run, asked: list[str]) -> State:
    """End as awaiting: nothing is published until a person says so."""
    run.note(status="awaiting", asks=asked, ended=now())
    steps.report(run)
    steps.note_in_store(store, run)
    message = (
        f"{run.id}: {'; '.join(asked)}. Nothing is published until a person decides: "
        f"`resegment publish {run.id} --decision challenger|champion|keep`."
    )
    return Completed(name="Awaiting", message=message)


def refuse(store: str, run: Run, refusal: Exception) -> State:
    """A refused run: reported, told to whoever listens, and told apart from a crash."""
    run.note(status="refused", error=str(refusal), ended=now())
    steps.report(run)
    artifacts.refused(reporting.summarise(run.manifest, run.folder), str(refusal))
    with suppress(ResegmentError):  # the store's trouble must not hide the data's
        steps.note_in_store(store, run)
    return Failed(name="Refused", message=str(refusal))


def undo(run: Run, said: Exception) -> State:
    """The month is there already: the folder that was begun goes, and nothing else happens."""
    shutil.rmtree(run.folder, ignore_errors=True)
    return Completed(name="Unchanged", message=str(said))


def open_run(parameters: SegmentParameters, resume: str) -> Run:
    """A new run's folder, the folder of this flow run's earlier try, or the one to resume."""
    if resume:
        return resumable(find_run(parameters.runs_folder, resume))
    start = flow_run.scheduled_start_time or datetime.now(UTC)
    month = parameters.month_at(start.astimezone())
    contract = load_contract(parameters.contract)
    facts = first_facts(parameters, contract, month)
    return Run.open(parameters.runs_folder, new_run_id(month, flow_run.id), facts)


def resumable(run: Run) -> Run:
    """The run itself. Raises `InputError` where a person has decided against it."""
    status, month = run.manifest["status"], run.manifest["month"]
    if status in ("kept", "withdrawn"):
        raise InputError(
            f"{run.id} is {status}: a person has decided, and there is nothing to resume. To "
            f"publish {month} after all, run the month again."
        )
    return run


def first_facts(
    parameters: SegmentParameters, contract: Contract, month: pd.Period
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
        "parameters_sha256": parameters.sha256,
        "versions": versions(),
        "started": now(),
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


def store_of(run: Run, parameters: SegmentParameters) -> str:
    """The store that the run was started with, or the one given now."""
    asked_for = SegmentParameters.model_validate(run.asked_for)
    return asked_for.model_copy(
        update={"runs": parameters.runs, "store": parameters.store or asked_for.store}
    ).store_url


def versions() -> dict[str, str]:
    """The packages that a result may depend on, as they are installed."""
    return {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def now() -> str:
    """The moment, as ISO text."""
    return datetime.now(UTC).isoformat(timespec="seconds")
