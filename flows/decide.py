"""What a person decides: publish with the challenger or the champion, keep, roll back."""

from contextlib import suppress
from typing import Any, Literal

from prefect import flow
from prefect.states import Completed, State

from expectations.errors import InputError
from flows.parameters import SegmentParameters, known_store, runs_folder
from flows.segment import now, store_of
from tasks import steps
from tasks.base import has_champion
from tasks.publishing import Superseded
from tasks.run import Run
from tasks.runs import find_run

Decision = Literal["challenger", "champion", "keep"]
DECIDABLE = ("awaiting", "candidate")


@flow(name="decide")
def decide(
    run_id: str,
    decision: Decision,
    comment: str = "",
    who: str = "",
    runs: str = "",
    store: str = "",
) -> State:
    """Decide about a run that waits for a person.

    Args:
        run_id: The run that is awaiting.
        decision: Publish with the new fit (challenger), with the published model (champion), or
            keep last month's publication.
        comment: Why.
        who: Who decides; Prefect knows no users, so it is what one says.
        runs: The folder of the run folders. Empty: RESEGMENT_RUNS, else ./runs.
        store: The segment store's URL. Empty: that of the run.
    """
    run = find_run(runs_folder(runs), run_id)
    url = store_of(run, SegmentParameters(runs=str(run.folder.parent), store=store))
    with run.lock():
        check_decidable(run, decision)
        said = {"decision": decision, "comment": comment, "who": who, "decided_at": now()}
        if decision == "keep":
            run.note(status="kept", decisions=[*run.manifest["decisions"], said])
            steps.note_in_store(url, run, said)
            steps.report(run)
            return Completed(message=f"{run.id}: last month's publication is kept.")
        try:
            publish_as(decision, run, url, said)
        except Superseded as late:
            raise Superseded(
                f"{late} This run can only be kept as it is: `resegment publish {run.id} "
                "--decision keep`."
            ) from None
        return Completed(message=f"{run.id}: {run.manifest['month']} is published.")


def publish_as(decision: str, run: Run, url: str, said: dict[str, Any]) -> None:
    """Profile the segments of whose model was chosen, told and not asked, and publish them."""
    before = run.manifest["model"]
    run.note(model=decision)
    try:
        segments, clean, raw = (run.path(stage) for stage in ("segments", "clean", "raw"))
        publication = steps.profile(segments, clean, raw, run, approved=True)
        steps.explain(publication, segments, clean, run.path("scaled"), run)
        steps.draw(run.path("selection"), run)
        steps.publish(url, run, said["decided_at"], said)
    except BaseException:
        run.note(model=before)
        raise
    run.note(decisions=[*run.manifest["decisions"], said])
    steps.report(run)


def check_decidable(run: Run, decision: Decision) -> None:
    """Raise `InputError` where there is nothing to decide, or not in this way."""
    manifest = run.manifest
    if manifest["status"] == "published" or not manifest["publishable"]:
        why = "it is published" if manifest["publishable"] else "it was made for comparison only"
        raise InputError(f"{run.id}: there is nothing to decide, {why}.")
    if manifest["status"] not in DECIDABLE:
        raise InputError(
            f"{run.id} is {manifest['status']}: a decision is for a run that is complete and "
            "awaits one. `resegment runs` lists them."
        )
    if decision == "champion" and not has_champion(manifest["base"]):
        raise InputError(
            f"{run.id}: there is no published model that could assign this month. "
            "Decide for challenger or keep."
        )
    if decision == "challenger" and run.log("segments")["challenger_ids"] is None:
        raise InputError(
            f"{run.id}: no new fit was made this month. Decide for champion or keep, or run the "
            "month again with --refit always."
        )
    if decision == "keep" and manifest["base"]["current"] is None:
        raise InputError(
            f"{run.id}: nothing was published before, so there is nothing to keep. Decide for "
            "challenger, or leave the run as it is."
        )


@flow(name="roll back")
def roll_back(
    run_id: str, comment: str = "", who: str = "", runs: str = "", store: str = ""
) -> State:
    """Make an earlier publication current again; every one after it is withdrawn.

    Args:
        run_id: The publication to go back to.
        comment: Why.
        who: Who decides; it is recorded as stated.
        runs: The folder of the run folders. Empty: RESEGMENT_RUNS, else ./runs.
        store: The segment store's URL. Empty: RESEGMENT_STORE, else the one among the runs.
    """
    folder = runs_folder(runs)
    said = {"comment": comment, "who": who, "decided_at": now()}
    done = steps.roll_back(known_store(store, folder), run_id, said)
    for one in done.withdrawn:
        with suppress(InputError):  # its folder may be gone
            find_run(folder, one).note(status="withdrawn")
    with suppress(InputError):
        find_run(folder, run_id).note(status="published")
    withdrawn = f"; withdrawn: {', '.join(done.withdrawn)}" if done.withdrawn else ""
    return Completed(message=f"{run_id} is current again{withdrawn}.")
