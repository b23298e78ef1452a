"""One folder per run, its manifest, and the only two doors out of a step: commit and attach."""

import errno
import fcntl
import hashlib
import json
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from expectations.contract import Contract
from expectations.errors import InputError, OutsideError, ResegmentError
from expectations.gate import GateRefused, Verdict, check
from expectations.rules import UNREADABLE, Rule
from tasks import keeping
from tasks.outcome import Outcome

STAGES = ("raw", "clean", "scaled", "selection", "embedding", "segments", "publication")
MANIFEST = "manifest.json"
QUARANTINE = "quarantine.parquet"

logger = logging.getLogger("resegment")
_manifest_lock = threading.Lock()  # the exploration writes beside the main line

Rules = Callable[..., Sequence[Rule]]


@dataclass(frozen=True)
class Run:
    """A run: its folder and its id. All its state is the manifest on disk.

    Parameters
    ----------
    folder : Path
        Holds the stages, the parts beside them and `manifest.json`; mode 0700.
    id : str
        `YYYY-MM-` and eight hex digits of the flow run's id.
    """

    folder: Path
    id: str

    @classmethod
    def open(cls, runs: Path, run_id: str, facts: Mapping[str, Any]) -> "Run":
        """The run with this id below `runs`; a new one starts its manifest with `facts`."""
        run = cls(runs.resolve() / run_id, run_id)
        with outside(f"the run folder {run.folder}", "or choose another with --runs"):
            run.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (run.folder / MANIFEST).exists():
                first = {"run_id": run_id, "status": "running", **facts, "stages": {}}
                keeping.keep(run.folder / MANIFEST, first)
        return run

    @classmethod
    def find(cls, runs: Path, run_id: str) -> "Run":
        """An existing run. Raises `InputError` when there is none."""
        run = cls(runs.resolve() / run_id, run_id)
        if Path(run_id).name != run_id or not (run.folder / MANIFEST).is_file():
            raise InputError(
                f"no run {run_id} in {runs.resolve()}. `resegment runs` lists what is there."
            )
        return run

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second process out of the folder, a half-dead twin for one."""
        with outside(f"{self.folder}", self._then_resume):
            held = (self.folder / ".lock").open("a+")
        with held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise OutsideError(
                    f"run {self.id} is being worked on by another process. "
                    "Wait for it to end, or end it, then resume."
                ) from None
            yield

    @property
    def manifest(self) -> dict[str, Any]:
        """The run's whole story as it stands on disk."""
        return json.loads((self.folder / MANIFEST).read_text())

    @cached_property
    def contract(self) -> Contract:
        """The contract under which the run was started."""
        return Contract.model_validate(self.manifest["contract"]["content"])

    @property
    def asked_for(self) -> dict[str, Any]:
        """The parameters with which the run was started."""
        return self.manifest["parameters"]

    def log(self, stage: str) -> dict[str, Any]:
        """What the step of a kept stage has noted."""
        return self.manifest["stages"][stage]["log"]

    @property
    def _then_resume(self) -> str:
        return f"then `resegment run --resume {self.id} --runs {self.folder.parent}`"

    def note(self, **facts: Any) -> None:
        """Enter facts at the top of the manifest."""
        with _manifest_lock:
            self._write_manifest({**self.manifest, **facts})

    def path(self, name: str) -> Path:
        """Where a stage or a part lies in the folder."""
        return self.folder / (f"{name}.parquet" if name in STAGES else name)

    def commit(
        self, stage: str, function: Callable[..., Outcome], *inputs: Any, rules: Rules
    ) -> Path:
        """Make a stage, ask its gate, and keep the table only if it passes.

        Parameters
        ----------
        stage : str
            One of `STAGES`.
        function : callable
            Makes the stage's `Outcome` from the inputs.
        *inputs : Path or value
            A path is read before the call (a stage or a part of this run); anything else is
            passed on. If all are as they were when the stage was kept, nothing is computed.
        rules : callable
            `rules(outcome, *inputs)` gives what the gate asks.

        Returns
        -------
        Path
            The stage's file. Raises `GateRefused` with what, where, how often and what next.
        """
        entry = self.manifest["stages"].get(stage)
        fingerprint = _fingerprint(function, inputs)
        if entry and entry["inputs"] == fingerprint and self._is_whole(stage, entry):
            logger.info("%s is there already", stage, extra={"stage": stage})
            return self.path(stage)
        started = time.perf_counter()
        with self._without_leaks(stage):
            loaded = [self.read(one) if isinstance(one, Path) else one for one in inputs]
            outcome = function(*loaded)
            verdict = check(stage, outcome.table, rules(outcome, *loaded))
            self._keep_verdict(stage, verdict, outcome)
            parts = {name: self._keep(name, part) for name, part in outcome.learned.items()}
            sha256 = self._keep(self.path(stage).name, outcome.table)
        self._enter(
            "stages",
            stage,
            {
                "inputs": fingerprint,
                "rows": len(outcome.table),
                "sha256": sha256,
                "parts": parts,
                "log": dict(outcome.log),
                "seconds": round(time.perf_counter() - started, 3),
            },
        )
        logger.info(
            "%s: %s rows, %d rules, %s",
            stage,
            f"{len(outcome.table):,}",
            verdict.evaluated,
            verdict.answer,
            extra={"stage": stage, "seconds": time.perf_counter() - started},
        )
        return self.path(stage)

    def attach(self, name: str, function: Callable[..., Any], *inputs: Any) -> Path:
        """Keep what `function(*inputs)` gives beside the stages, in the way of `commit`.

        The suffix of `name` says how: a figure, a fitted part, a table, text.
        """
        entry = self.manifest.get("attachments", {}).get(name)
        fingerprint = _fingerprint(function, inputs)
        path = self.path(name)
        if entry and entry["inputs"] == fingerprint and path.is_file():
            return path
        started = time.perf_counter()
        with self._without_leaks(name):
            loaded = [self.read(one) if isinstance(one, Path) else one for one in inputs]
            sha256 = self._keep(name, function(*loaded))
        seconds = round(time.perf_counter() - started, 3)
        self._enter(
            "attachments", name, {"inputs": fingerprint, "sha256": sha256, "seconds": seconds}
        )
        return path

    def read(self, path: Path) -> Any:
        """A stage or a part, loaded by its suffix."""
        with outside(f"{path}", "or run the month again"):
            return keeping.load(path)

    def _keep(self, name: str, value: Any) -> str:
        path = self.folder / name
        with outside(f"{path}", self._then_resume):
            return keeping.keep(path, value)

    def _is_whole(self, stage: str, entry: Mapping[str, Any]) -> bool:
        kept = {self.path(stage): entry["sha256"]}
        kept |= {self.path(name): sha256 for name, sha256 in entry["parts"].items()}
        return all(p.is_file() and keeping.sha256_of(p) == wanted for p, wanted in kept.items())

    def _keep_verdict(self, stage: str, verdict: Verdict, outcome: Outcome) -> None:
        """Enter the verdict; keep refused rows; raise when the gate refuses."""
        self._enter("gates", stage, verdict.summary())
        refuses = verdict.answer == "refuse"
        evidence = verdict.refused
        if stage == "raw":
            kept_at = QUARANTINE
            self._keep(QUARANTINE, evidence)
            self.note(
                rows=_row_counts(verdict, outcome),
                source={**self.manifest["source"], "sha256": outcome.log.get("sha256")},
            )
        elif refuses:
            kept_at = f"refused-{stage}.parquet"
            # a table rule has no single row to show: then the whole table is the evidence
            evidence = evidence if len(evidence) else outcome.table
            self._keep(kept_at, evidence)
        if refuses:
            where = f" The refused rows are in {self.folder / kept_at}." if len(evidence) else ""
            raise GateRefused(f"{verdict.message()}{where} Nothing was published.")

    def _enter(self, section: str, name: str, entry: Any) -> None:
        with _manifest_lock:
            manifest = self.manifest
            manifest.setdefault(section, {})[name] = entry
            self._write_manifest(manifest)

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        with outside(f"{self.folder / MANIFEST}", self._then_resume):
            keeping.keep(self.folder / MANIFEST, manifest)

    @contextmanager
    def _without_leaks(self, stage: str) -> Iterator[None]:
        """Let an unexpected error out as stage and type only: its text may quote a customer."""
        try:
            yield
        except ResegmentError:
            raise
        except Exception as error:
            trace = f"errors/{stage.replace('/', '-')}.txt"
            with suppress(OutsideError):
                self._keep(trace, traceback.format_exc())
            raise ResegmentError(
                f"{stage}: unexpected {type(error).__name__}. The traceback is in "
                f"{self.folder / trace}; `resegment run --resume {self.id} "
                f"--runs {self.folder.parent}` tries again."
            ) from None


@contextmanager
def outside(what: str, remedy: str) -> Iterator[None]:
    """Turn trouble with the disk into one message that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            why = os.strerror(error.errno)
            raise OutsideError(f"cannot write {what}: {why}. Free space, {remedy}.") from None
        is_blocked = error.errno in (errno.EEXIST, errno.ENOTDIR)
        why = "a file stands where a folder belongs" if is_blocked else error.strerror or str(error)
        raise OutsideError(f"cannot use {what}: {why}. Mend that, {remedy}.") from None


def _fingerprint(function: Callable[..., Any], inputs: Sequence[Any]) -> str:
    """What a result depends on: the function's name, the files' content, the values."""
    while isinstance(function, partial):  # keywords are callbacks, never part of the result
        function = function.func
    parts = [f"{function.__module__}.{function.__qualname__}"]
    for one in inputs:
        if isinstance(one, Path):
            parts.append(keeping.sha256_of(one))
        elif hasattr(one, "sha256"):
            parts.append(one.sha256)
        elif isinstance(one, BaseModel):
            parts.append(one.model_dump_json())
        else:
            parts.append(json.dumps(one, sort_keys=True, default=str))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _row_counts(verdict: Verdict, outcome: Outcome) -> dict[str, int]:
    """Every row of the source, counted by where it went."""
    return {
        "source": outcome.log["rows"],
        "kept": verdict.rows - len(verdict.refused),
        "quarantined": len(verdict.refused),
        "objected": outcome.log["objected"],
    }


def new_run_id(month: pd.Period, flow_run_id: object) -> str:
    """`YYYY-MM-` and eight hex digits of the flow run's id, so that a retry finds its folder."""
    return f"{month}-{str(flow_run_id).replace('-', '')[:8]}"


def find_by_flow_run(runs: Path, flow_run_id: str, resumed: str = "") -> Run:
    """The run that a flow run made, or the one that it resumed."""
    if resumed:
        return Run.find(runs, resumed)
    ending = new_run_id(pd.Period("2000-01", "M"), flow_run_id).removeprefix("2000-01")
    found = sorted(runs.glob(f"*{ending}/{MANIFEST}"))
    if not found:
        raise ResegmentError(f"the flow run {flow_run_id} left no run in {runs}.")
    return Run(found[0].parent, found[0].parent.name)


def customer_of(run: Run, customer: str) -> dict[str, Any]:
    """One customer's segment, or why the customer has none. Raises `InputError` if unknown."""
    id_column = run.contract.id.column
    for stage in ("segments", "quarantine.parquet"):
        path = run.path(stage)
        table = run.read(path) if path.exists() else pd.DataFrame({id_column: []})
        found = table[table[id_column] == customer]
        if len(found):
            facts = found.drop(columns=[UNREADABLE], errors="ignore").iloc[0].to_dict()
            known = {str(key): None if pd.isna(value) else value for key, value in facts.items()}
            where = "segments" if stage == "segments" else "set aside"
            return {"run_id": run.id, "where": where, **known}
    raise InputError(
        f"{run.id}: no customer {customer}. Ids are compared letter by letter; "
        "customers who objected are kept nowhere."
    )


def list_runs(runs: Path) -> list[dict[str, Any]]:
    """Manifests of all runs below `runs`, oldest month first; unreadable ones are left out."""
    manifests = []
    for path in sorted(runs.glob(f"*/{MANIFEST}")):
        with suppress(OSError, json.JSONDecodeError):
            manifests.append(json.loads(path.read_text()))
    return sorted(manifests, key=lambda m: (m.get("month", ""), m.get("started", "")))


__all__ = ["STAGES", "Run", "customer_of", "find_by_flow_run", "list_runs", "new_run_id", "outside"]
