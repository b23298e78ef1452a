"""Retention: old months leave the runs folder and the segment stores."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from expectations.errors import InputError
from tasks import keeping
from tasks.erasing import drop_publications
from tasks.forgetting import published_elsewhere
from tasks.published import run_lines
from tasks.run import MANIFEST, Busy, Run
from tasks.runs import list_runs
from tasks.store import Store

LEAVING = ".pruned-"  # a folder that is on its way out: no run any more
NEEDED = "the current publication, or what it or a correction of it compares with"
WAITS = "it awaits a decision; --yes drops it"
IN_USE = "it is being worked on"
ELSEWHERE = "it was published to {}, which was not asked: give --store"


class Pruned(NamedTuple):
    """What went and what stayed.

    Parameters
    ----------
    oldest : mapping of origin to month
        The oldest month that is kept, of real months and of synthetic ones.
    folders, publications : sequence of str
        Runs whose folder was dropped, and runs that the stores hold nothing of any more.
    stayed : mapping of run id to reason
        Older runs that stayed.
    """

    oldest: Mapping[str, str]
    folders: Sequence[str]
    publications: Sequence[str]
    stayed: Mapping[str, str]


def prune(stores: Sequence[Store], runs: Path, keep: int, drop_awaiting: bool) -> Pruned:
    """Drop all but the newest `keep` months; real and synthetic ones are counted apart.

    Months are counted from the newest on record, so that a pause drops nothing. The current
    publication stays, with what it and a correction of it compare with, and so do the tombstones
    and the registry of ids. Raises `InputError` where there is nothing on record.
    """
    manifests = list_runs(runs)
    oldest = _oldest_kept(stores, manifests, keep)
    elsewhere = published_elsewhere(manifests, stores)
    known = [store for store in stores if store.origin in oldest]
    dropped = [one for s in known for one in drop_publications(s, oldest[s.origin])]
    needed = {one["run_id"] for store in stores for one in run_lines(store)}
    folders, stayed = [], {}
    for manifest in manifests:
        run_id = manifest["run_id"]
        if pd.Period(manifest["month"], "M") >= oldest[manifest["origin"]]:
            continue
        why = _why_it_stays(manifest, needed, elsewhere, drop_awaiting)
        if why or not _remove(Run(runs.resolve() / run_id, run_id)):
            stayed[run_id] = why or IN_USE
        else:
            folders.append(run_id)
    _sweep(runs)
    return Pruned({of: str(month) for of, month in oldest.items()}, folders, dropped, stayed)


def in_words(told: Pruned) -> str:
    """What went, what stayed and why."""
    since = " and ".join(f"{month} of {of} months" for of, month in told.oldest.items())
    said = [
        f"{len(told.folders):,} run folders and {len(told.publications):,} runs of the segment "
        f"store dropped; kept since {since}."
    ]
    said += [f"dropped: {run_id}" for run_id in sorted({*told.folders, *told.publications})]
    return "\n".join([*said, *(f"stayed: {one}, {why}" for one, why in told.stayed.items())])


def _oldest_kept(
    stores: Sequence[Store], manifests: Iterable[Mapping[str, Any]], keep: int
) -> dict[str, pd.Period]:
    lines = [*manifests, *(line for store in stores for line in run_lines(store))]
    if not lines:
        raise InputError("there is no run on record, so there is nothing to prune.")
    months = pd.DataFrame(
        {"origin": [x["origin"] for x in lines], "at": [x["month"] for x in lines]}
    )
    newest = months.groupby("origin")["at"].max()
    return {str(of): pd.Period(month, "M") - (keep - 1) for of, month in newest.items()}


def _why_it_stays(
    manifest: Mapping[str, Any], needed: set[str], elsewhere: Mapping[str, str], drop_awaiting: bool
) -> str:
    if manifest["run_id"] in needed:
        return NEEDED
    if manifest["status"] == "awaiting" and not drop_awaiting:
        return WAITS
    where = elsewhere.get(manifest["run_id"])
    return ELSEWHERE.format(where) if where else ""


def _remove(run: Run) -> bool:
    """Remove a run's folder, unless somebody works on it; a killed removal leaves no half run."""
    leaving = run.folder.with_name(f"{LEAVING}{run.id}")
    with keeping.outside(f"{run.folder}", "and run the command again"):
        try:
            with run.lock():
                run.folder.rename(leaving)
        except Busy:
            return False
        shutil.rmtree(leaving)
    return True


def _sweep(runs: Path) -> None:
    """Remove what killed removals and replays left."""
    for folder in runs.glob(f"{LEAVING}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for run in (
        Run(path.parent, path.parent.name) for path in runs.glob(f".replay-*/*/{MANIFEST}")
    ):
        with suppress(Busy), run.lock():
            shutil.rmtree(run.folder.parent, ignore_errors=True)
