"""Time `resegment run` against the usual notebook, as whole processes in turn.

``python tests/benchmarks/bench.py [--runs 3] [--table CSV]``. Each round starts a first month with
everything on auto, one without other spaces, one with seven segments asked for, and the notebook
one after the other, so that a busy minute of the machine touches all of them, and the ratios are
taken within a round. That does not make a busy
machine fair: K-means waits for its slowest thread at every step, and beside other work on two cores
nineteen fits took 60 s in place of 4 s, which flatters the ratio. Nothing is asserted: the
figures depend on the machine. The exit code is 1 if a process failed.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
ROWS = 8950  # of the reference table
QUIET_LOAD = 0.5  # at the start; a program that computes adds about 1
TAIL = 20  # lines of standard error shown after a failure
REST = "start-up and rest"
NOTEBOOK = "notebook"


@dataclass(frozen=True)
class Timing:
    """Wall seconds of a whole process, and of each step that it told."""

    wall: float
    steps: dict[str, float]


class ProcessFailed(Exception):
    """A timed process ended with an error, or printed no seconds."""


def run_command(given: Sequence[str], table: Path, scratch: Path) -> list[str]:
    """Give the arguments of one monthly run."""
    source = ["--source", str(table), "--runs", str(scratch)]
    return ["-m", "deployments.cli", "run", *source, *given, "--json"]


def notebook_command(table: Path, scratch: Path) -> list[str]:
    """Give the arguments of the notebook."""
    return [str(Path(__file__).with_name("notebook.py")), str(table), str(scratch)]


COMMANDS: dict[str, Callable[[Path, Path], list[str]]] = {
    "auto": partial(run_command, ()),
    "none": partial(run_command, ("--embedding", "none")),
    "none, pinned": partial(run_command, ("--embedding", "none", "--segments", "7")),
    NOTEBOOK: notebook_command,
}
PROMISED = {"auto": 1.0, "none": 0.5, "none, pinned": 0.5}  # share of the notebook's seconds


def environment(scratch: Path) -> dict[str, str]:
    """Give each process a store of its own and no server but its own.

    A store that already holds the month would leave a run little to do.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name != "PREFECT_API_URL" and not name.startswith("RESEGMENT_")
    }
    return inherited | {"RESEGMENT_STORE": f"sqlite:///{scratch / 'segments.db'}"}


def run_process(name: str, arguments: Sequence[str], scratch: Path) -> tuple[float, str]:
    """Run Python with `arguments` to its end; return wall seconds and standard output."""
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(scratch),
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - start
    if ended.returncode != 0:
        said = (ended.stderr.strip() or ended.stdout).splitlines()[-TAIL:]
        raise ProcessFailed("\n".join([f"{name}: exit code {ended.returncode}", *said]))
    return wall, ended.stdout


def parse_steps(name: str, stdout: str) -> dict[str, float]:
    """Read the seconds of each step from the JSON that a process printed."""
    try:
        return dict(json.loads(stdout)["seconds"])
    except (ValueError, KeyError, TypeError) as error:
        raise ProcessFailed(f"{name}: no JSON with seconds, but: {stdout[-500:]!r}") from error


def measure(name: str, table: Path) -> Timing:
    """Time one process in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        wall, stdout = run_process(name, COMMANDS[name](table, scratch), scratch)
    steps = parse_steps(name, stdout)
    return Timing(wall, steps | {REST: wall - sum(steps.values())})


def measure_rounds(table: Path, runs: int, console: Console) -> dict[str, list[Timing]]:
    """Time every command once per round, after one uncounted run."""
    console.print(f"warm-up, none: {measure('none', table).wall:.1f} s")
    timings: dict[str, list[Timing]] = {name: [] for name in COMMANDS}
    for number in range(1, runs + 1):
        for name, measured in timings.items():
            measured.append(measure(name, table))
            console.print(f"round {number} of {runs}, {name}: {measured[-1].wall:.1f} s")
    return timings


def summarise(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the least, the median and the largest value."""
    return min(values), statistics.median(values), max(values)


def ratios(timings: Sequence[Timing], baseline: Sequence[Timing]) -> list[float]:
    """Divide wall seconds pair by pair, each by those of the same round."""
    return [run.wall / base.wall for run, base in zip(timings, baseline, strict=True)]


def numbers_table(title: str, *labels: str, extra: Sequence[str] = ()) -> Table:
    """Start a table with the labels' columns, then min, median, max, then what is extra."""
    table = Table(title=title, title_justify="left")
    for label in labels:
        table.add_column(label)
    for heading in ("min", "median", "max", *extra):
        table.add_column(heading, justify="right")
    return table


def wall_table(timings: dict[str, list[Timing]]) -> Table:
    """Show the wall seconds of each command."""
    table = numbers_table("Wall seconds of the whole process", "command")
    for name, measured in timings.items():
        table.add_row(name, *(f"{s:.1f}" for s in summarise([one.wall for one in measured])))
    return table


def ratio_table(timings: dict[str, list[Timing]]) -> Table:
    """Show each command's share of the notebook's seconds beside the promise."""
    table = numbers_table("Ratio to the notebook", "command", extra=("promised", "median is"))
    for name, bound in PROMISED.items():
        shares = summarise(ratios(timings[name], timings[NOTEBOOK]))
        word = "[green]within[/]" if shares[1] <= bound else "[red]above[/]"
        table.add_row(name, *(f"{share:.2f}" for share in shares), f"{bound:.2f}", word)
    return table


def step_table(timings: dict[str, list[Timing]]) -> Table:
    """Show the seconds of each step of each command."""
    table = numbers_table("Seconds of each step", "command", "step")
    for name, measured in timings.items():
        steps = dict.fromkeys(step for one in measured for step in one.steps if step != REST)
        for step in [*steps, REST]:
            seconds = summarise([one.steps.get(step, 0.0) for one in measured])
            table.add_row(name, step, *(f"{s:.2f}" for s in seconds))
        table.add_section()
    return table


def conditions() -> str:
    """Say on what machine this was measured, and how busy it was."""
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    return (
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores; "
        f"load over 1, 5 and 15 minutes {load}"
    )


def warn_if_busy(console: Console) -> None:
    """Say so when other programs are at work, because the ratios then mean little."""
    if (load := os.getloadavg()[0]) > QUIET_LOAD:
        console.print(
            f"The machine is busy (load {load:.1f}): K-means suffers most from that, and the "
            "ratios with it. Measure again when the load is below "
            f"{QUIET_LOAD}.",
            style="yellow",
        )


def find_table(given: Path | None, scratch: Path) -> Path:
    """Return the table asked for, or write a synthetic month into `scratch`."""
    if given is not None:
        return given.resolve(strict=True)
    written = scratch / "sample.csv"
    arguments = ["-m", "deployments.cli", "sample", "--rows", str(ROWS), "--output", str(written)]
    run_process("sample", arguments, scratch)
    return written


def bench(given: Path | None, runs: int, console: Console) -> None:
    """Measure on the table and print what was found."""
    warn_if_busy(console)
    with tempfile.TemporaryDirectory() as folder:
        table = find_table(given, Path(folder))
        console.print(f"{conditions()}\ntable: {escape(table.name)}", highlight=False)
        timings = measure_rounds(table, runs, console)
    for shown in (wall_table(timings), ratio_table(timings), step_table(timings)):
        console.print(shown)
    console.print(conditions(), highlight=False)


def count(text: str) -> int:
    """Read a whole number of at least one."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def main() -> int:
    """Read the command line, measure, and return the exit code."""
    environ_table = os.environ.get("CCDATA_CSV")
    parser = argparse.ArgumentParser(description="Time resegment run against the usual notebook.")
    parser.add_argument("--runs", type=count, default=3, help="rounds (3)")
    parser.add_argument(
        "--table",
        type=Path,
        default=Path(environ_table) if environ_table else None,
        help="CSV of customers (the file in CCDATA_CSV, else a synthetic month)",
    )
    arguments = parser.parse_args()
    if arguments.table is not None and not arguments.table.is_file():
        parser.error(f"no table at {arguments.table}: give --table, or set or clear CCDATA_CSV")
    try:
        bench(arguments.table, arguments.runs, Console())
    except ProcessFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
