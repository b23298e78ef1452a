"""A month per stage, each killed right after that stage is entered in the manifest.

Run as a script by `test_resume.py`: `killed_runs.py SOURCE RUNS`. Imports once, then forks a
process per stage, so that seven kills cost one start.
"""

import importlib
import os
import signal
import sys
from typing import Any

from flows.parameters import SegmentParameters
from flows.segment import segment
from tasks.run import STAGES, Run

NEEDED = (  # by every run, and imported where they are needed first
    *("great_expectations.expectations", "matplotlib.figure", "skops.io", "alembic.command"),
    *("adbc_driver_sqlite.dbapi", "pyarrow.parquet", "jinja2"),
)


def run_until(stage: str, source: str, runs: str) -> None:
    """Run the month and die by SIGKILL once `stage` is committed."""
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
        "runs": f"{runs}/{stage}",
    }
    segment(SegmentParameters.model_validate(asked_for), return_state=True)


def main() -> None:
    """Fork, wait, and say how each child ended."""
    source, runs = sys.argv[1:]
    for module in NEEDED:
        importlib.import_module(module)
    for stage in STAGES:
        child = os.fork()
        if child == 0:
            run_until(stage, source, runs)
            os._exit(1)  # it should have been dead by now
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{stage} {os.WTERMSIG(status)}\n")


if __name__ == "__main__":
    main()
