"""One folder per run, its manifest, and the only two doors out of a step: commit and attach."""

import fcntl
import hashlib
import json
import logging
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
from expectations.errors import OutsideError, ResegmentError
from expectations.gate import GateRefused, Verdict, check
from expectations.rules import Rule
from tasks import keeping
from tasks.outcome import Outcome

STAGES = ("raw", "clean", "scaled", "selection", "embedding", "segments", "publication")
MANIFEST = "manifest.json"
QUARANTINE = "quarantine.parquet"

logger = logging.getLogger("resegment")
_manifest_lock = threading.Lock()  # the exploration writes beside the main line

Rules = Callable[..., Sequence[Rule]]


class Busy(OutsideError):
    """Another process works on the run."""


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
        with keeping.outside(f"the run folder {run.folder}", "or choose another with --runs"):
            run.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (run.folder / MANIFEST).exists():
                first = {"run_id": run_id, "status": "running", **facts, "stages": {}}
                keeping.keep(run.folder / MANIFEST, first)
        return run

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second process out of the folder, a half-dead twin for one."""
        with keeping.outside(f"{self.folder}", self._then_resume):
            held = (self.folder / ".lock").open("a+")
        with held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Busy(
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

    def log_beside(self, name: str) -> dict[str, Any]:
        """What was noted of a part that was kept beside the stages; nothing if there is none."""
        return self.manifest.get("attachments", {}).get(name, {}).get("log", {})

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

    def part(self, name: str) -> Path | None:
        """Where a part lies, if there is one."""
        path = self.path(name)
        return path if path.is_file() else None

    def has(self, stage: str) -> bool:
        """Whether a stage is kept, whole and with its parts."""
        entry = self.manifest["stages"].get(stage)
        return entry is not None and self._is_whole(stage, entry)

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
        fingerprint = self._fingerprint(function, inputs)
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

        The suffix of `name` says how: a figure, a fitted part, a table, text. Of an `Outcome` the
        table is kept, and its log entered in the manifest.
        """
        entry = self.manifest.get("attachments", {}).get(name)
        fingerprint = self._fingerprint(function, inputs)
        path = self.path(name)
        if entry and entry["inputs"] == fingerprint and path.is_file():
            return path
        started = time.perf_counter()
        with self._without_leaks(name):
            loaded = [self.read(one) if isinstance(one, Path) else one for one in inputs]
            made = function(*loaded)
            is_outcome = isinstance(made, Outcome)
            sha256 = self._keep(name, made.table if is_outcome else made)
        facts = {"log": dict(made.log)} if is_outcome else {}
        seconds = round(time.perf_counter() - started, 3)
        entry = {"inputs": fingerprint, "sha256": sha256, "seconds": seconds, **facts}
        self._enter("attachments", name, entry)
        return path

    def read(self, path: Path) -> Any:
        """A stage or a part, loaded by its suffix."""
        with keeping.outside(f"{path}", "or run the month again"):
            return keeping.load(path)

    def _keep(self, name: str, value: Any) -> str:
        path = self.folder / name
        with keeping.outside(f"{path}", self._then_resume):
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
        with keeping.outside(f"{self.folder / MANIFEST}", self._then_resume):
            keeping.keep(self.folder / MANIFEST, manifest)

    def _fingerprint(self, function: Callable[..., Any], inputs: Sequence[Any]) -> str:
        """What a result depends on; a file that customers were erased from counts as it was."""
        return _fingerprint(function, inputs, self.manifest.get("known_as", {}))

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


def _fingerprint(
    function: Callable[..., Any], inputs: Sequence[Any], known_as: Mapping[str, str]
) -> str:
    """What a result depends on: the function's name, the files' content, the values."""
    while isinstance(function, partial):  # keywords are callbacks, never part of the result
        function = function.func
    parts = [f"{function.__module__}.{function.__qualname__}"]
    for one in inputs:
        if isinstance(one, Path):
            sha256 = keeping.sha256_of(one)
            parts.append(known_as.get(sha256, sha256))
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
