"""A run once more, from its manifest, in a folder that is thrown away."""

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect import flow

from expectations.errors import GateError, InputError, OutsideError, ResegmentError
from expectations.gate import GateRefused
from flows.parameters import SegmentParameters, runs_folder
from flows.passwords import password_of
from flows.segment import segmented, store_of, versions
from tasks import replaying, reporting, steps
from tasks.clustering import CHALLENGER, CHAMPION
from tasks.replaying import Compared, assigned_again, compare_figures, compare_segments
from tasks.run import QUARANTINE, Run
from tasks.runs import find_run

TAKEN = ("month", "origin", "contract", "parameters_sha256", "publishable", "started", "versions")
SOURCE, KEPT, MODELS = "the source", "the kept customers", "the kept models"


@flow(name="replay")
def replay(run_id: str, runs: str = "", store: str = "") -> dict[str, Any]:
    """Run a month again from its manifest, and compare it customer by customer.

    Nothing is published, and no store is changed. Where customers were erased from the run, a new
    fit would differ: the kept models assign those who are left.

    Args:
        run_id: The run to repeat.
        runs: The folder of the run folders. Empty: RESEGMENT_RUNS, else ./runs.
        store: The segment store's URL, asked for who was forgotten. Empty: that of the run.
    """
    run = find_replayable(runs_folder(runs), run_id)
    with run.lock():
        check_whole(run)
        erased = run.manifest["stages"]["segments"]["rows"] - len(run.read(run.path("segments")))
        if erased:
            compared, source = assign_the_rest(run), MODELS
        else:
            parameters = SegmentParameters(runs=str(run.folder.parent), store=store)
            compared, source = run_again(run, store_of(run, parameters))
    told = {
        "run_id": run.id,
        "identical": compared.is_identical,
        "erased": erased,
        "replayed_from": source,
        **compared._asdict(),
        "versions": compare_figures(run.manifest["versions"], versions()),
    }
    return {**told, "says": replaying.in_words(told)}


def find_replayable(runs: Path, run_id: str) -> Run:
    """The run's folder. Raises `InputError` where it is gone: a store alone holds too little."""
    try:
        return find_run(runs, run_id)
    except InputError:
        raise InputError(
            f"{run_id} has no folder in {runs.resolve()}: it was pruned, or it is on another "
            "machine. A replay needs it; --runs says where it is."
        ) from None


def check_whole(run: Run) -> None:
    """Raise where there are no segments to compare with, or not those that were kept."""
    made = run.manifest["stages"]
    if "segments" not in made:
        raise InputError(
            f"{run.id} is {run.manifest['status']} and came to no segments: there is nothing to "
            "compare a replay with."
        )
    if broken := [stage for stage in ("raw", "clean", "segments") if not run.has(stage)]:
        raise OutsideError(
            f"{run.id}: the kept files of {', '.join(broken)} are not those that the manifest "
            "knows. Bring the run's folder back from a backup."
        )


def run_again(run: Run, store: str) -> tuple[Compared, str]:
    """The month once more, in a folder beside; compared, and where its customers came from."""
    with tempfile.TemporaryDirectory(prefix=".replay-", dir=run.folder.parent) as folder:
        again = copy_of(run, Path(folder))
        with again.lock():
            raw, source = read_again(run, again, store)
            try:
                segmented(raw, again)
            except GateRefused as refusal:
                why, *_ = str(refusal).split(" The refused rows are in ")
                raise GateError(
                    f"{run.id}: the replay was refused, the run was not. {why}"
                ) from None
        was, now = (one.read(one.path("segments")) for one in (run, again))
        compared = compare_segments(was, now, run.contract.id.column)
        metrics = compare_figures(figures_of(run), figures_of(again))
    return compared._replace(metrics=metrics), source


def copy_of(run: Run, folder: Path) -> Run:
    """The run as it was when it knew what it rests on, and had read nothing."""
    manifest = run.manifest
    base = {**manifest["base"], "published": None}  # the month is published: that is no matter
    facts = {
        **{name: manifest[name] for name in TAKEN},
        "model": base["whose"],
        "source": {"uri": manifest["source"]["uri"]},
        "parameters": {**run.asked_for, "publish": "never"},
        "base": base,
    }
    again = Run.open(folder, run.id, facts)
    if (run.folder / "base").is_dir():
        shutil.copytree(run.folder / "base", again.folder / "base")
    return again


def read_again(run: Run, again: Run, store: str) -> tuple[Path, str]:
    """The customers: from the source if it holds what it held, else as the run has kept them."""
    manifest = run.manifest
    with suppress(ResegmentError):  # gone, closed to us, or broken meanwhile
        password = password_of(run.asked_for["source"]["secret"])
        raw = steps.read(manifest["source"]["uri"], store, again, password)
        if again.manifest["source"]["sha256"] == manifest["source"]["sha256"]:
            return raw, SOURCE
    for path in (run.path("raw"), run.path(QUARANTINE)):
        shutil.copy(path, again.folder)
    again.note(
        stages={"raw": manifest["stages"]["raw"]},
        gates={"raw": manifest["gates"]["raw"]},
        **{name: manifest[name] for name in ("rows", "source")},
    )
    return again.path("raw"), KEPT


def assign_the_rest(run: Run) -> Compared:
    """The kept models once more, on those whom nobody has erased."""
    segments, clean = (run.read(run.path(stage)) for stage in ("segments", "clean"))
    log, champion = run.log("segments"), run.part(steps.CHAMPION_FILE)
    models: dict[str, Any] = {CHAMPION: None, CHALLENGER: None}
    if champion is not None and log["champion_ids"] is not None:
        models[CHAMPION] = run.read(champion), log["champion_ids"]
    if log["challenger_ids"] is not None:
        models[CHALLENGER] = run.read(run.path("model.skops")), log["challenger_ids"]
    whose = run.manifest["base"]["whose"]
    again = assigned_again(segments, clean, models, whose)
    return compare_segments(segments, again, run.contract.id.column)


def figures_of(run: Run) -> Mapping[str, Any]:
    """What is compared beside the customers."""
    summary = reporting.summarise(run.manifest, run.folder)
    return {"k": summary["k"], "space": summary["space"], **summary["metrics"]}
