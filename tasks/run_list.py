"""What is on record of runs: their folders, and what the segment store says of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from expectations.errors import InputError
from tasks import published, reporting
from tasks.base import open_if_there
from tasks.runs import find_run, list_runs
from tasks.store import Store, open_store


def all_runs(runs: Path, url: str) -> list[dict[str, Any]]:
    """A summary of every run, oldest month first; the store's word about its status counts.

    A run whose folder is gone is told from the store.
    """
    store = _there(url)
    lines = {line["run_id"]: line for line in published.run_lines(store)} if store else {}
    here = [reporting.summarise(one, runs.resolve() / one["run_id"]) for one in list_runs(runs)]
    told = [_with_status(summary, lines) for summary in here]
    known = {summary["run_id"] for summary in told}
    told += [_from_line(line) for run_id, line in lines.items() if run_id not in known]
    return sorted(told, key=lambda one: one["month"])


def one_run(runs: Path, url: str, run_id: str) -> dict[str, Any]:
    """The summary of one run. Raises `InputError` where neither folder nor store knows it."""
    store = _there(url)
    lines = {line["run_id"]: line for line in published.run_lines(store, run_id)} if store else {}
    try:
        run = find_run(runs, run_id)
    except InputError:
        if run_id not in lines or not lines[run_id]["summary"]:
            raise
        return _from_line(lines[run_id])
    return _with_status(reporting.summarise(run.manifest, run.folder), lines)


def status_of(url: str, month: pd.Period) -> dict[str, Any]:
    """Whether a month is settled, which publication is current, and what rests on a corrected one.

    Raises `InputError` where there is no store.
    """
    store = open_store(url)
    standing = [one for one in published.publications(store) if one.stands]
    current = published.current(store)
    return {
        "month": str(month),
        "status": published.settled(store, month),
        "run_id": next((one.run_id for one in standing if one.month == month), None),
        "current": current,
        "current_month": next((str(o.month) for o in standing if o.run_id == current), None),
        "rests_on_corrected": published.rests_on_corrected(store),
        "store": store.database.shown,
    }


def _there(url: str) -> Store | None:
    return open_if_there(url, origin=None, create=False)


def _with_status(summary: dict[str, Any], lines: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    line = lines.get(summary["run_id"])
    settled = line is not None and line["status"] in ("published", "withdrawn", "kept")
    return {**summary, "status": line["status"]} if line and settled else summary


def _from_line(line: Mapping[str, Any]) -> dict[str, Any]:
    return {**(line["summary"] or {}), "run_id": line["run_id"], "status": line["status"]}
