"""A month that is killed right after each stage is entered in the manifest.

Run as a script by `test_resume.py`: `killed_runs.py SOURCE RUNS`. Imports once, then forks a
process per stage, which resumes what the one before has left; what it leaves is copied to
`RUNS/<stage>`. So seven kills cost one start and one month.
"""

import importlib
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from flows.parameters import SegmentParameters
from flows.segment import segment
from tasks.run import STAGES, Run

NEEDED = (  # by every run, and imported where they are needed first
    *("great_expectations.expectations", "matplotlib.figure", "skops.io", "alembic.command"),
    *("adbc_driver_sqlite.dbapi", "pyarrow.parquet", "jinja2"),
)


def run_until(stage: str, source: str, runs: Path) -> None:
    """Run the month, or resume it, and die by SIGKILL once `stage` is committed."""
    enter = Run._enter

    def enter_and_die(self: Run, section: str, name: str, entry: Any) -> None:
        enter(self, section, name, entry)
        if (section, name) == ("stages", stage):
            os.kill(os.getpid(), signal.SIGKILL)

    Run._enter = enter_and_die  # type: ignore[method-assign]
    asked_for = {
        "source": {"uri": source},
        "selection": {"segments": 4, "resamples": 10},
        "plain_rule": {"null_draws": 2},
        "embedding": {"embedding": "none"},
        "runs": str(runs),
    }
    begun = next((path.parent.name for path in runs.glob("*/manifest.json")), "")
    segment(SegmentParameters.model_validate(asked_for), resume=begun, return_state=True)


def main() -> None:
    """Fork, wait, and say how each child ended."""
    source, folder = sys.argv[1], Path(sys.argv[2])
    for module in NEEDED:
        importlib.import_module(module)
    for stage in STAGES:
        child = os.fork()
        if child == 0:
            run_until(stage, source, folder / "at work")
            os._exit(1)  # it should have been dead by now
        _, status = os.waitpid(child, 0)
        shutil.copytree(folder / "at work", folder / stage)
        sys.stdout.write(f"{stage} {os.WTERMSIG(status)}\n")


if __name__ == "__main__":
    main()
