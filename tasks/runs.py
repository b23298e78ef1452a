"""The runs in a folder: find one, list them all, look a customer up."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from expectations.errors import InputError, ResegmentError
from expectations.rules import UNREADABLE
from tasks.run import MANIFEST, QUARANTINE, Run, new_run_id
from tasks.why import why


def find_run(runs: Path, run_id: str) -> Run:
    """An existing run. Raises `InputError` when there is none."""
    run = Run(runs.resolve() / run_id, run_id)
    if Path(run_id).name != run_id or not (run.folder / MANIFEST).is_file():
        raise InputError(
            f"no run {run_id} in {runs.resolve()}. `resegment runs` lists what is there."
        )
    return run


def find_by_flow_run(runs: Path, flow_run_id: str, resumed: str = "") -> Run:
    """The run that a flow run made, or the one that it resumed."""
    if resumed:
        return find_run(runs, resumed)
    ending = new_run_id(pd.Period("2000-01", "M"), flow_run_id).removeprefix("2000-01")
    found = sorted(runs.glob(f"*{ending}/{MANIFEST}"))
    if not found:
        raise ResegmentError(f"the flow run {flow_run_id} left no run in {runs}.")
    return Run(found[0].parent, found[0].parent.name)


def customer_of(run: Run, customer: str) -> dict[str, Any]:
    """One customer's segment, or why the customer has none. Raises `InputError` if unknown."""
    id_column = run.contract.id.column
    for stage in ("segments", QUARANTINE):
        path = run.path(stage)
        table = run.read(path) if path.exists() else pd.DataFrame({id_column: []})
        found = table[table[id_column] == customer]
        if len(found):
            facts = found.drop(columns=[UNREADABLE], errors="ignore").iloc[0].to_dict()
            known = {str(key): None if pd.isna(value) else value for key, value in facts.items()}
            if stage == "segments":
                return {"run_id": run.id, "where": stage, **known, **_why(run, customer)}
            return {"run_id": run.id, "where": "set aside", **known}
    raise InputError(
        f"{run.id}: no customer {customer}. Ids are compared letter by letter; "
        "customers who objected are kept nowhere."
    )


def _why(run: Run, customer: str) -> dict[str, Any]:
    """Why a customer is in the segment; nothing before the segments have their names."""
    if not run.has("publication"):
        return {}
    id_column = run.contract.id.column
    clean, scaled, segments = (run.read(run.path(one)) for one in ("clean", "scaled", "segments"))
    names = {one["id"]: one["name"] for one in run.log("publication")["segments"]}
    whose = run.manifest["model"]
    told = why(customer, clean, scaled, segments, names, run.contract, id_column, whose)
    moves = run.read(run.path("moves.parquet"))
    product = moves.loc[moves["customer_id"] == customer, "next_product"].iloc[0]
    return {"next_product": None if pd.isna(product) else product, "why": told}


def list_runs(runs: Path) -> list[dict[str, Any]]:
    """Manifests of all runs below `runs`, oldest month first; unreadable ones are left out."""
    manifests = []
    for path in sorted(runs.glob(f"*/{MANIFEST}")):
        with suppress(OSError, json.JSONDecodeError):
            manifests.append(json.loads(path.read_text()))
    return sorted(manifests, key=lambda m: (m.get("month", ""), m.get("started", "")))
