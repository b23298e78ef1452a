"""Exports that are killed half-way, and what the next one leaves.

Run as a script by `test_destinations.py`: `killed_exports.py STORE OUTPUT`. Imports once, then
forks a process per kill. Prints a JSON list with a line per kill.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tasks.exporting import Wanted, export
from tasks.store import Store, open_store
from tests.handed import Destination, told_in
from tests.publications import AT

STEPS = ("begun", "loaded", "staged", "entered", "in place")


def killed_at(step: str, store: Store, run_id: str, wanted: Wanted) -> int:
    """Export in a process that dies by SIGKILL at a step; returns the signal that ended it."""

    def die(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        export(store, run_id, wanted, AT, die)
        os._exit(1)  # it should have been dead by now
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def look(store: Store, output: Path, step: str) -> dict[str, Any]:
    """A destination that had January, killed while it was to get February, and then gets it."""
    wanted = Wanted(step.replace(" ", "-"), output)
    destination = Destination(wanted.destination)
    export(store, "january", wanted, AT)
    destination.take(output)
    ended = killed_at(step, store, "february", wanted)
    unfinished = len(list(output.glob(f".{wanted.destination}-*")))
    told = export(store, "february", wanted, AT)
    folders = destination.take(output)
    return {
        "step": step, "signal": ended, "unfinished": unfinished,
        "left": len(list(output.glob(".*"))), "finished": len(told["finished"]),
        "numbers": [told_in(one)["number"] for one in folders],
        "kinds": [told_in(one)["kind"] for one in folders],
        "has": sorted(destination.has),
    }  # fmt: skip


if __name__ == "__main__":
    opened = open_store(sys.argv[1])
    json.dump([look(opened, Path(sys.argv[2]), step) for step in STEPS], sys.stdout)
