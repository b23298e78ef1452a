"""What the command shows: tables for people, one JSON object for programs, one line for errors."""

import json
import logging
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from expectations.errors import InputError, OutsideError, ResegmentError

if TYPE_CHECKING:
    from prefect.states import State

    from expectations.gate import Verdict


class Shown:
    """Shows results on standard output, progress and errors on standard error."""

    def __init__(self, as_json: bool) -> None:
        from rich.console import Console

        self.as_json = as_json
        self.out = Console(highlight=False)
        self.err = Console(stderr=True, highlight=False)

    def run(self, summary: Mapping[str, Any]) -> None:
        """One run."""
        if self.as_json:
            return print_json(summary)
        marked = " [yellow](synthetic customers)[/]" if summary["origin"] == "synthetic" else ""
        self.out.print(f"\n[bold]{summary['month']}[/]{marked}  run {summary['run_id']}")
        if rows := summary["rows"]:
            self.out.print(
                f"{rows['source']:,} rows read: {rows['kept']:,} kept, "
                f"{rows['quarantined']:,} set aside, {rows['objected']:,} objected"
            )
            if rows["quarantined"] and not summary["error"]:  # which says it itself
                self._line(f"set aside, with reasons: {summary['run_dir']}/quarantine.parquet")
        if summary["segments"]:
            self._segments(summary)
        for sentence in summary["changes_in_words"]:
            self._line(sentence)
        self._gates(summary["gates"])
        for warning in summary["warnings"]:
            self.out.print("[yellow]note[/] ", end="")
            self._line(warning)
        if summary["error"]:
            self.out.print(f"[red]{summary['status']}[/]: ", end="")
            self._line(summary["error"])
        else:
            self.out.print(f"status [bold]{summary['status']}[/]{_whose(summary)}")
        if summary["asks"]:
            self._line(f"a person must decide: {'; '.join(summary['asks'])}", style="yellow")
            self._line(
                f"`resegment publish {summary['run_id']} --decision challenger|champion|keep`"
            )
        self._line(f"report {summary['report']}")

    def _segments(self, summary: Mapping[str, Any]) -> None:
        metrics = summary["metrics"]
        self.out.print(
            f"{summary['k']} segments in the space '{summary['space']}' - {summary['why']}; "
            f"silhouette {metrics['silhouette']:.3f}",
            markup=False,
        )
        for word, why in (("space", summary["why_space"]), ("rule", summary["plain_rule"])):
            if why:
                self.out.print(f"{word} - {why['says'] if word == 'rule' else why}", markup=False)
        table = _table("segment", "customers", "share", "share of value")
        for one in summary["segments"]:
            value = one["value_share"]
            _add_row(
                table,
                one["name"] if one["name"] == one["id"] else f"{one['name']} ({one['id']})",
                f"{one['size']:,}",
                f"{one['share']:.1%}",
                "-" if value is None else f"{value:.1%}",
            )
        self.out.print(table)

    def _gates(self, gates: Sequence[Mapping[str, Any]]) -> None:
        colours = {"pass": "green", "warn": "yellow", "ask": "yellow", "refuse": "red"}
        table = _table("gate", "verdict", "rows", "rules")
        for gate in gates:
            verdict = gate["verdict"]
            table.add_row(
                gate["stage"],
                f"[{colours[verdict]}]{verdict}[/]",
                f"{gate['rows']:,}",
                str(gate["evaluated"]),
            )
        self.out.print(table)

    def runs(self, summaries: Sequence[Mapping[str, Any]]) -> None:
        """All runs, a line each."""
        if self.as_json:
            return print_json({"runs": list(summaries)})
        if not summaries:
            self.out.print("No run yet. `resegment run` makes the first.")
            return None
        columns = ("run", "month", "origin", "status", "kept", "k", "space", "silhouette")
        table = _table(*columns, padding=0)  # as wide as 80 characters allow
        for one in summaries:
            silhouette = one["metrics"]["silhouette"]
            _add_row(
                table,
                one["run_id"],
                one["month"],
                one["origin"],
                one["status"],
                f"{one['rows']['kept']:,}" if one["rows"] else "-",
                str(one["k"] or "-"),
                one["space"] or "-",
                "-" if silhouette is None else f"{silhouette:.3f}",
            )
        self.out.print(table)

    def status(self, told: Mapping[str, Any]) -> None:
        """Whether a month is published, and which one is current."""
        if self.as_json:
            return print_json(told)
        said = {"published": "is published", "kept": "is settled: the month before was kept"}
        self._line(f"{told['month']} {said.get(told['status'], 'is not published')}")
        if told["current"]:
            self._line(f"current: {told['current_month']}, run {told['current']}")
        for run_id in told["rests_on_corrected"]:
            self._line(f"{run_id} rests on a month that was corrected since")
        return None

    def said(self, told: Mapping[str, Any]) -> None:
        """One sentence about what was done."""
        if self.as_json:
            return print_json(told)
        return self._line(str(told["says"]))

    def customer(self, found: Mapping[str, Any]) -> None:
        """One customer of a run."""
        if self.as_json:
            return print_json({name: _without_infinity(value) for name, value in found.items()})
        if why := found.get("why"):
            self._line(why["says"], style="bold")
            for name, word in (("towards", "for it"), ("away", "against it")):
                for one in why[name]:
                    self._line(f"  {word}: {one['says']}")
        for name, value in found.items():
            if name != "why":
                self.out.print(f"{name}: {'-' if value is None else value}", markup=False)
        return None

    def verdict(self, verdict: "Verdict", log: Mapping[str, Any], refused: Path | None) -> None:
        """What the raw gate says of a source."""
        told = {"source": log, "refused_rows": len(verdict.refused), "refused": str(refused or "")}
        message = verdict.message() if verdict.answer == "refuse" else None
        if self.as_json:
            return print_json({**verdict.summary(), **told, "error": message})
        self._gates([verdict.summary()])
        if log["left_out"]:
            self.out.print("[yellow]note[/] ", end="")
            self._line(f"the contract does not know, and leaves out: {', '.join(log['left_out'])}")
        table = _table("rule", "what must hold", "rows", "first row", "then")
        for one in verdict.failed:
            _add_row(
                table,
                one.rule,
                one.says,
                "-" if one.broken_rows is None else f"{one.broken_rows:,}",
                "-" if one.first_row is None else str(one.first_row),
                one.severity.replace("_", " "),
            )
        self.out.print(table if verdict.failed else "Every rule holds.")
        if message:
            self._line(message, style="red")
        if refused:
            self._line(f"{len(verdict.refused):,} refused rows, with reasons: {refused}")
        elif len(verdict.refused):
            self._line(
                f"{len(verdict.refused):,} of {verdict.rows:,} rows break a rule that sets them "
                "aside; --refused FILE.parquet writes them, with reasons."
            )
        return None

    def scored(self, told: Mapping[str, Any]) -> None:
        """What was scored, and where it is."""
        if self.as_json:
            return print_json(told)
        rows = told["rows"]
        self.out.print(
            f"{rows['source']:,} rows read: {rows['scored']:,} scored with the model of run "
            f"{told['run_id']}, {rows['quarantined']:,} set aside, {rows['objected']:,} objected"
        )
        table = _table("segment", "name", "customers", "share")
        for one in told["segments"]:
            _add_row(table, one["id"], one["name"], f"{one['size']:,}", f"{one['share']:.1%}")
        self.out.print(table)
        self._line(f"{told['untypical']:,} of them are like nobody that the model has seen")
        if told["left_out"]:
            self._line(f"the contract does not know, and leaves out: {', '.join(told['left_out'])}")
        if told["quarantine"]:
            self._line(f"set aside, with reasons: {told['quarantine']}")
        self._line(f"scored customers: {told['output']}")
        return None

    def exported(self, told: Mapping[str, Any]) -> None:
        """The campaign lists of a destination, and where they are."""
        if self.as_json:
            return print_json(told)
        for folder in told["finished"]:
            self._line(f"an export that was broken off is finished first: {folder}")
        if told["is_new"]:
            like = f" There is one called {told['like']}." if told["like"] else ""
            self._line(f"{told['destination']} is a new destination, and gets the whole.{like}")
        elif told["kind"] == "whole":
            self._line("nobody knows whether the export before came, so this one is whole")
        with_lift = told["base_rate"] is not None
        table = _table("segment", "", "customers", "control", *(["lift to see"] * with_lift))
        for one in told["segments"]:
            counts = (_few(one["customers"]), _few(one["control"]))
            lift = [_lift(one["lift"], one["too_small"])] if with_lift else []
            _add_row(table, one["segment_id"], one["segment"], *counts, *lift)
        self.out.print(table)
        counts = told["counts"]
        changed = ", ".join(f"{_few(counts[one])} {one}" for one in ("entered", "left", "erased"))
        self._line(f"number {told['number']} for {told['destination']}: {changed}")
        self._line(f"lists {told['folder']}")
        return None

    def sample(self, written: Mapping[str, Any]) -> None:
        """Where a synthetic month was written."""
        if self.as_json:
            return print_json(written)
        self.out.print(
            f"{written['rows']:,} synthetic customers of {written['month']} in "
            f"{written['table']}, the planted truth in {written['truth']}",
            markup=False,
            soft_wrap=True,
        )

    def error(self, error: ResegmentError) -> None:
        """One message that says what, where and what next."""
        if self.as_json:
            try:
                print_json(as_error(error))
            except OSError:  # it is the output that failed
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        self.err.print("[red]error[/] ", end="")
        self.err.print(str(error), markup=False, soft_wrap=True)

    def _line(self, text: str, style: str | None = None) -> None:
        """A line as it is: paths are not broken, brackets are no markup."""
        self.out.print(text, style=style, markup=False, soft_wrap=True)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Show each step as it ends, and how far a long one is."""
        handler = _Steps(self.err)
        logger = logging.getLogger("resegment")
        level, propagate = logger.level, logger.propagate
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)
        try:
            with handler.status:
                yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def progress(key: str) -> Callable[[int, int], None]:
    """A callback (done, total) that tells whoever listens how far a long step is."""
    logger = logging.getLogger("resegment")

    def report(done: int, total: int) -> None:
        share = 100 * done / total
        logger.info("%s: %.0f %%", key, share, extra={"progress": (key, done, total)})

    return report


def _whose(summary: Mapping[str, Any]) -> str:
    """Whose segments they are, of a month that was published."""
    made = summary["publication"]
    if summary["status"] != "published" or made is None:
        return ""
    again = f", revision {made['revision']}" if made["revision"] > 1 else ""
    if not made["is_current"]:
        again += ", a correction of an older month: the current one stays"
    return f" with the {summary['model']}'s segments{again}"


def print_json(value: Any) -> None:
    """One JSON object on standard output; raises `OSError` where that takes no more."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str, allow_nan=False) + "\n")
    sys.stdout.flush()


def _without_infinity(value: Any) -> Any:
    """Infinity as text: JSON has no such number, but a customer set aside may."""
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def as_error(error: ResegmentError) -> dict[str, Any]:
    """What `--json` says of an error."""
    return {"error": str(error), "exit_code": error.exit_code}


class _Steps(logging.Handler):
    """A line per finished step; on a terminal, a moving line for the one under way."""

    def __init__(self, console: Any) -> None:
        super().__init__()
        self.console = console
        self.status = console.status("starting")

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "progress"):
            self.status.update(record.getMessage())
        else:
            self.console.print(record.getMessage(), style="dim", markup=False)


@contextmanager
def session(as_json: bool, debug: bool) -> Iterator[Shown]:
    """Turn what goes wrong into one message and an exit code; tracebacks only with `debug`."""
    shown = Shown(as_json)
    try:
        yield shown
    except (typer.Exit, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        shown.err.print("stopped. `resegment runs` names it, `run --resume RUN_ID` finishes it.")
        raise typer.Exit(130) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
        problem = _in_words(error)
        shown.error(problem)
        raise typer.Exit(problem.exit_code) from None


def _in_words(error: Exception) -> ResegmentError:
    """An error of ours; one of another kind is named, not quoted: it may hold a customer's cell."""
    from pydantic import ValidationError

    if isinstance(error, ResegmentError):
        return error
    if isinstance(error, ValidationError):
        told = [
            (".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, "))
            for one in error.errors()
        ]
        problems = "; ".join(f"{where}: {what}" if where else what for where, what in told)
        return InputError(f"the call is wrong: {problems}")
    if isinstance(error, OSError) and error.errno:
        what = error.filename or "the output"
        return OutsideError(f"{what}: {os.strerror(error.errno)}. Mend that, then run again.")
    return ResegmentError(f"unexpected {type(error).__name__}; --debug shows it whole")


def error_of(state: "State") -> Exception:
    """The error that failed a flow run."""
    error = state.result(raise_on_failure=False)
    return error if isinstance(error, Exception) else ResegmentError(state.message or "failed")


def _few(count: int | None) -> str:
    """A count as it may be shown."""
    return "few" if count is None else f"{count:,}"


def _lift(lift: float | None, too_small: bool) -> str:
    return "too small to see any" if lift is None or too_small else f"+{lift:.2%}"


def _table(*columns: str, padding: int = 1) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, padding))
    for position, column in enumerate(columns):
        if position == 0:  # an id or a rule's name: to be copied, so it stays whole
            table.add_column(column, no_wrap=True)
        else:
            table.add_column(column, justify="right", overflow="fold")
    return table


def _add_row(table: Any, *cells: str) -> None:
    """Add cells as they are: a pattern's brackets are no markup."""
    from rich.markup import escape

    table.add_row(*map(escape, cells))
