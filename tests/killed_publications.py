"""Publications that are killed half-way, and what the store holds after each.

Run as a script by `test_publishing.py`: `killed_publications.py URL KILLS`. Imports once, then
forks a process per kill, so that fifteen kills cost one start. Prints a JSON list with a line per
kill; a publication that was done before its time was over has the signal 0, and another is tried.
"""

import itertools
import json
import os
import random
import signal
import sys
import time
from typing import Any

import sqlalchemy as sa

from tasks.amending import rollback
from tasks.published import current, loaded_runs
from tasks.publishing import Publication, publish
from tasks.store import Store, open_store
from tasks.tables import CURRENT_SEGMENTS
from tests.publications import AT, publication_of

N_CUSTOMERS = {"old": 5000, "new": 20_000}
STEPS = ("loaded first block", "loaded", "before pointer", "after pointer", "published")


def killed_at(step: str, store: Store, publication: Publication) -> int:
    """Publish in a process that dies by SIGKILL at a step; returns the signal that ended it."""

    def die(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        publish(store, publication, die)
        os._exit(1)  # it should have been dead by now
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def killed_after(seconds: float, store: Store, publication: Publication) -> int:
    """Publish in a process that is killed after a time; the signal that ended it, or 0."""
    child = os.fork()
    if child == 0:
        publish(store, publication)
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def state_of(store: Store) -> dict[str, Any]:
    """The pointer, the customers that a reader sees, and the runs that have rows."""
    count = sa.select(sa.func.count(), sa.func.count(sa.distinct(CURRENT_SEGMENTS.c.month)))
    with store.database.reading() as connection:
        n_customers, n_months = connection.execute(count.select_from(CURRENT_SEGMENTS)).one()
        loaded = loaded_runs(connection)
    return {
        "current": current(store),
        "customers": n_customers,
        "months": n_months,
        "loaded": loaded,
    }


def look(store: Store, new: Publication, kill: str, ended: int) -> dict[str, Any]:
    """What is there after a kill, and after publishing again; then back to the old month."""
    line = {"run_id": new.run_id, "kill": kill, "signal": ended, "found": state_of(store)}
    publish(store, new)
    rerun = state_of(store)
    rollback(store, "old", {"decided_at": AT})
    return {**line, "rerun": rerun}


def main() -> None:
    """Kill, look, publish again, look again, roll back: at every step, then at random moments."""
    store = open_store(sys.argv[1], "real")
    publish(store, publication_of(store, "2026-01", "old", N_CUSTOMERS["old"]))
    lines, numbers = [], itertools.count()

    def next_one() -> Publication:
        return publication_of(store, "2026-02", f"new-{next(numbers):02d}", N_CUSTOMERS["new"])

    for step in STEPS:
        new, start = next_one(), time.perf_counter()
        ended = killed_at(step, store, new)
        whole = time.perf_counter() - start  # of the last step: a whole publication
        lines.append(look(store, new, step, ended))
    rng, n_kills = random.Random(0), int(sys.argv[2])
    for number in range(n_kills):
        ended = 0
        while not ended:  # it may be done before its time is over
            new, after = next_one(), whole * (number + rng.random()) / n_kills
            ended = killed_after(after, store, new)
            lines.append(look(store, new, f"after {after:.3f} s", ended))
            whole *= 1 if ended else 0.9
    json.dump(lines, sys.stdout)


if __name__ == "__main__":
    main()
