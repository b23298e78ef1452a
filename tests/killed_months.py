"""A company's second month, killed once at every stage and inside its publication.

Run as a script by `test_killed_months.py`: `killed_months.py COMPANY FOLDER`. Imports once, then
forks a process per kill, which resumes what the one before has left; what it leaves is copied to
`FOLDER/<kill>`.
"""

import importlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from flows.parameters import SegmentParameters
from flows.segment import segment
from tasks import delivering, keeping
from tasks.publishing import publish
from tasks.run import STAGES, Run
from tests.company import leave_blank

NEEDED = (  # by every run, and imported where they are needed first
    *("great_expectations.expectations", "matplotlib.figure", "skops.io", "alembic.command"),
    *("adbc_driver_sqlite.dbapi", "pyarrow.parquet", "jinja2"),
)
RESTED = "rested"  # what the month rests on is noted
IN_PUBLICATION = ("loaded", "before pointer", "published")
KILLS = (RESTED, *STAGES, *IN_PUBLICATION)


def die() -> None:
    """End this process as nothing can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying_after(kill: str, method: Callable[..., None]) -> Callable[..., None]:
    """A method of `Run` that enters something in the manifest, after which the process dies."""

    def enter(self: Run, *names: Any, **facts: Any) -> None:
        method(self, *names, **facts)
        if names[:2] == ("stages", kill) or (kill == RESTED and "base" in facts):
            die()

    return enter


def run_until(kill: str, folder: Path, resume: str) -> None:
    """Run April, or resume it, and die by SIGKILL."""
    Run._enter = dying_after(kill, Run._enter)  # type: ignore[method-assign]
    Run.note = dying_after(kill, Run.note)  # type: ignore[method-assign]
    delivering.publish = partial(  # type: ignore[assignment]
        publish, on_step=lambda step: die() if step == kill else None
    )
    keeping.WRITERS = {**keeping.WRITERS, ".png": leave_blank}  # type: ignore[assignment]
    asked_for = {
        "source": {"uri": str(folder / "2026-04.parquet")},
        "month": "2026-04",
        "contract": str(folder / "shop.yaml"),
        "selection": {"segments": 4, "resamples": 10},
        "refit": "never",
        "runs": str(folder / "runs"),
    }
    parameters = SegmentParameters.model_validate(asked_for)
    segment(parameters, resume=resume, return_state=True)


def main() -> None:
    """Fork, wait, say how the child ended, and keep what it left; then kill it at the next."""
    company, folder = map(Path, sys.argv[1:])
    for module in NEEDED:
        importlib.import_module(module)
    shutil.copytree(company, folder / "now")
    for kill in KILLS:
        begun = [path.name for path in (folder / "now" / "runs").glob("2026-04-*")]
        child = os.fork()
        if child == 0:
            run_until(kill, folder / "now", *begun or [""])
            os._exit(1)  # it should have been dead by now
        _, status = os.waitpid(child, 0)
        shutil.copytree(folder / "now", folder / kill)
        sys.stdout.write(f"{kill} {os.WTERMSIG(status)}\n")


if __name__ == "__main__":
    main()
