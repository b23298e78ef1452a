"""Customers leave: the segment stores first, then every file below the runs folder, and lists.

In this order a killed call has left a tombstone, and the same call ends what it began.
"""

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from expectations.errors import OutsideError
from tasks import erasing, keeping
from tasks.destinations import folders_of
from tasks.listfiles import ERASED_LIST, TOLD
from tasks.published import run_lines
from tasks.run import MANIFEST, QUARANTINE, Busy, Run
from tasks.runs import list_runs
from tasks.store import Store
from tasks.without import Left, without

STAGED = ".erasing"  # a folder's files without the customers, until all are ready
OURS = "customer_id"  # the id's column in tables of the store
AGAIN = "Run the same command again: it ends what it began."
PUBLISHED = ("published", "withdrawn")


class Forgotten(NamedTuple):
    """How many customers were asked for, and where they were found; never who.

    Parameters
    ----------
    customers : int
        How many were asked for.
    in_stores, assignments : int
        How many of them the stores knew, and in how many rows.
    in_runs, runs, files_beside : int
        How many were in files, in how many runs, and in how many files beside the runs.
    elsewhere : sequence of str
        Stores that runs were published to, and that were not asked.
    untold : sequence of str
        Destinations of campaign lists that have yet to be told, by the next export to each.
    """

    customers: int
    in_stores: int
    assignments: int
    in_runs: int
    runs: int
    files_beside: int
    elsewhere: Sequence[str]
    untold: Sequence[str]


def forget(
    stores: Sequence[Store], runs: Path, customers: Iterable[str], at: datetime
) -> Forgotten:
    """Erase customers from the stores, from every file below `runs`, and from campaign lists.

    Each store keeps a tombstone of them, also of who was nowhere: found again in a source, the id
    counts as an objection. Backups are beyond its reach.

    Raises
    ------
    OutsideError
        A database or the disk failed, or a run is being worked on: it is named, and all else is
        done. The same call then does what is left.
    """
    wanted = frozenset(customers)
    told = [erasing.forget(store, wanted, at) for store in stores]
    known = {one["run_id"]: one for one in list_runs(runs)}
    cleaned, busy = [], []
    for run_id in known:
        run = Run(runs.resolve() / run_id, run_id)
        try:
            with run.lock():
                cleaned.append(erase_from_run(run, wanted))
        except Busy:
            busy.append(run_id)
    columns = {OURS, *(one["contract"]["content"]["id"]["column"] for one in known.values())}
    beside = list(_erase_beside(runs.resolve(), known, wanted, columns))
    beside += _erase_from_lists(stores, wanted)
    if busy:
        raise OutsideError(
            f"{len(busy)} of {len(known)} runs are being worked on and could not be cleaned: "
            f"{', '.join(busy)}. All else is done. Wait for them to end. {AGAIN}"
        )
    return Forgotten(
        customers=len(wanted),
        in_stores=sum(one.found for one in told),
        assignments=sum(one.assignments for one in told),
        in_runs=len(frozenset().union(*cleaned, *beside)),
        runs=sum(map(bool, cleaned)),
        files_beside=len(beside),
        elsewhere=sorted(set(published_elsewhere(known.values(), stores).values())),
        untold=sorted({name for store in stores for name in erasing.untold(store)}),
    )


def in_words(told: Forgotten) -> str:
    """What was erased, in numbers: never who."""
    said = (
        f"{told.customers:,} customers are forgotten: {told.in_stores:,} were in the segment store "
        f"({told.assignments:,} rows), {told.in_runs:,} in files ({told.runs:,} runs"
    )
    said += f", {told.files_beside:,} other files)." if told.files_beside else ")."
    if not told.in_stores and not told.in_runs:
        said += " They were nowhere; from now on they count as objecting."
    if told.elsewhere:
        stores = ", ".join(told.elsewhere)
        said += f" Runs were published to {stores}, too: run it again with --store for each."
    if told.untold:
        n = len(told.untold)
        said += (
            f" {n:,} destination{'s have' if n > 1 else ' has'} yet to be told: "
            f"{', '.join(told.untold)}. The next export to each does it."
        )
    return said


def published_elsewhere(
    manifests: Iterable[Mapping[str, Any]], stores: Sequence[Store]
) -> dict[str, str]:
    """Runs that were published to none of these stores, and where they were."""
    known = {line["run_id"] for store in stores for line in run_lines(store)}
    asked = {store.database.shown for store in stores}
    told = {one["run_id"]: one["publication"]["store"] for one in manifests if one["publication"]}
    return {one: where for one, where in told.items() if one not in known and where not in asked}


def erase_from_run(run: Run, customers: Collection[str]) -> frozenset[str]:
    """Take customers out of all files of a run, or of none; returns who was found.

    The manifest knows each new file under the content that it had, so that nothing is computed
    anew for it; except the publication of a run that is not published: its sizes are to be of
    those who are left. The caller holds the run's lock.
    """
    columns = {OURS, run.contract.id.column}
    with keeping.outside(f"{run.folder}", AGAIN[:-1]):
        _finish(run)
        left = {
            path.relative_to(run.folder).as_posix(): one
            for path in _files_below(run.folder)
            if path.name != MANIFEST and (one := without(path, customers, columns))
        }
        if not left:
            return frozenset()
        renamed = {
            name: (
                keeping.sha256_of(run.folder / name),
                keeping.keep(run.folder / STAGED / name, one.content),
            )
            for name, one in left.items()
        }
        found = frozenset().union(*(one.found for one in left.values()))
        run.note(**_facts_without(run, left, renamed, len(found)))
        _finish(run)
    return found


def _finish(run: Run) -> None:
    """Put the staged files of an erasure in place, if the manifest knows them already.

    A file that was made anew since it was staged is newer, and stays.
    """
    manifest, staged = run.manifest, run.folder / STAGED
    kept = dict(_hashes(manifest))
    for name, sha256 in manifest.get("erasing", {}).items():
        if (staged / name).is_file() and kept.get(name, sha256) == sha256:
            (staged / name).replace(run.folder / name)
    if manifest.get("erasing"):
        run.note(erasing={})
    shutil.rmtree(staged, ignore_errors=True)
    for path in run.folder.rglob(".*.unfinished"):  # of a killed step
        path.unlink()


def _hashes(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each file that the manifest knows, with its sha256."""
    for stage, entry in manifest["stages"].items():
        yield f"{stage}.parquet", entry["sha256"]
        yield from entry["parts"].items()
    for name, entry in manifest.get("attachments", {}).items():
        yield name, entry["sha256"]


def _facts_without(
    run: Run, left: Mapping[str, Left], renamed: Mapping[str, tuple[str, str]], n_found: int
) -> dict[str, Any]:
    """What the manifest says once the customers are gone."""
    manifest = run.manifest
    known_as = manifest.get("known_as", {})
    new = {name: now for name, (_, now) in renamed.items()}
    facts = {
        "stages": {
            stage: {
                **entry,
                "sha256": new.get(f"{stage}.parquet", entry["sha256"]),
                "parts": {part: new.get(part, was) for part, was in entry["parts"].items()},
            }
            for stage, entry in manifest["stages"].items()
        },
        "attachments": {
            name: {**entry, "sha256": new.get(name, entry["sha256"])}
            for name, entry in manifest.get("attachments", {}).items()
        },
        "known_as": {**known_as, **{now: known_as.get(was, was) for was, now in renamed.values()}},
        "erased": manifest.get("erased", 0) + n_found,
        "erasing": new,
    }
    return (
        facts if manifest["status"] in PUBLISHED else facts | _not_yet_published(facts, run, left)
    )


def _not_yet_published(
    facts: Mapping[str, Any], run: Run, left: Mapping[str, Left]
) -> dict[str, Any]:
    """A run that may still be published counts the erased as objecting, and profiles the others."""
    manifest, stages = run.manifest, facts["stages"]
    told: dict[str, Any] = {}
    if "publication" in stages:
        told["stages"] = {**stages, "publication": {**stages["publication"], "inputs": ""}}
    if rows := manifest.get("rows"):
        read, aside = (_n_gone(left.get(name)) for name in ("raw.parquet", QUARANTINE))
        told["rows"] = {
            **rows,
            "kept": rows["kept"] - (read - aside),
            "quarantined": rows["quarantined"] - aside,
            "objected": rows["objected"] + read,
        }
    if previous := left.get("base/previous.parquet"):
        base = manifest["base"]
        erased = pd.Series(base["erased"], dtype="int64")
        gone = previous.gone  # who was not assessed is in no segment's size
        ids = gone["segment_id"].astype(object).where(gone["status"] != "not_assessed").fillna("")
        told["base"] = {
            **base, "erased": erased.add(ids.value_counts(), fill_value=0).astype(int).to_dict(),
        }  # fmt: skip
    return told


def _n_gone(left: Left | None) -> int:
    return 0 if left is None else len(left.gone)


def _erase_beside(
    runs: Path, known: Collection[str], customers: Collection[str], columns: Collection[str]
) -> Iterator[frozenset[str]]:
    """Take customers out of files that belong to no run; who was in each that was rewritten."""
    with keeping.outside(f"{runs}", AGAIN[:-1]):
        for path in _files_below(runs):
            is_beside = path.relative_to(runs).parts[0] not in known and not _is_told(path)
            if is_beside and (found := without(path, customers, columns)):
                keeping.keep(path, found.content)
                yield found.found


def _erase_from_lists(
    stores: Iterable[Store], customers: frozenset[str]
) -> Iterator[frozenset[str]]:
    """Take customers out of campaign lists that still lie where they were written."""
    as_text = customers | {f"'{one}" for one in customers}  # what is harmless to a spreadsheet
    for folder in (folder for store in stores for folder in folders_of(store)):
        with keeping.outside(f"{folder}", AGAIN[:-1]):
            for path in _files_below(folder):
                if not _is_told(path) and (found := without(path, as_text, {OURS})):
                    keeping.keep(path, found.content)
                    yield found.found & customers


def _is_told(path: Path) -> bool:
    """Whether a file tells a destination whom to erase: there they stay until it has done so."""
    return path.stem == ERASED_LIST and path.with_name(TOLD).exists()


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
