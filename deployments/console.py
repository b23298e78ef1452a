"""What the command shows: tables for people, one JSON object for programs, one line for errors."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from expectations.errors import InputError, ResegmentError

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
            return self._json(summary)
        marked = " [yellow](synthetic customers)[/]" if summary["origin"] == "synthetic" else ""
        self.out.print(f"\n[bold]{summary['month']}[/]{marked}  run {summary['run_id']}")
        if rows := summary["rows"]:
            self.out.print(
                f"{rows['source']:,} rows read: {rows['kept']:,} kept, "
                f"{rows['quarantined']:,} set aside, {rows['objected']:,} objected"
            )
        if summary["segments"]:
            self._segments(summary)
        self._gates(summary["gates"])
        for warning in summary["warnings"]:
            self.out.print(f"[yellow]note[/] {warning}", soft_wrap=True, markup=True)
        if summary["error"]:
            self.out.print(f"[red]{summary['status']}[/]: ", end="")
            self.out.print(summary["error"], markup=False, soft_wrap=True)
        else:
            self.out.print(f"status [bold]{summary['status']}[/]")
        self.out.print(f"report {summary['report']}", soft_wrap=True, markup=False)

    def _segments(self, summary: Mapping[str, Any]) -> None:
        metrics = summary["metrics"]
        self.out.print(
            f"{summary['k']} segments in the space '{summary['space']}' - {summary['why']}; "
            f"silhouette {metrics['silhouette']:.3f}",
            markup=False,
        )
        table = _table("segment", "customers", "share", "share of value")
        for one in summary["segments"]:
            value = one["value_share"]
            table.add_row(
                one["name"],
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
            return self._json({"runs": list(summaries)})
        if not summaries:
            self.out.print("No run yet. `resegment run` makes the first.")
            return None
        table = _table("run", "month", "origin", "status", "kept", "k", "space", "silhouette")
        for one in summaries:
            silhouette = one["metrics"]["silhouette"]
            table.add_row(
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

    def customer(self, found: Mapping[str, Any]) -> None:
        """One customer of a run."""
        if self.as_json:
            return self._json(found)
        for name, value in found.items():
            self.out.print(f"{name}: {'-' if value is None else value}", markup=False)

    def verdict(self, verdict: "Verdict", log: Mapping[str, Any], refused: Path | None) -> None:
        """What the raw gate says of a source."""
        if self.as_json:
            return self._json({**verdict.summary(), "source": log, "refused": str(refused or "")})
        self._gates([verdict.summary()])
        table = _table("rule", "what must hold", "rows", "first row", "then")
        for one in verdict.failed:
            table.add_row(
                one.rule,
                one.says,
                "-" if one.broken_rows is None else f"{one.broken_rows:,}",
                "-" if one.first_row is None else str(one.first_row),
                one.severity.replace("_", " "),
            )
        self.out.print(table if verdict.failed else "Every rule holds.")
        if verdict.answer == "refuse":
            self.out.print(verdict.message(), style="red", soft_wrap=True, markup=False)
        if refused:
            self.out.print(f"{len(verdict.refused):,} refused rows in {refused}", markup=False)
        return None

    def sample(self, written: Mapping[str, Any]) -> None:
        """Where a synthetic month was written."""
        if self.as_json:
            return self._json(written)
        self.out.print(
            f"{written['rows']:,} synthetic customers of {written['month']} in "
            f"{written['table']}, the planted truth in {written['truth']}",
            markup=False,
            soft_wrap=True,
        )

    def error(self, error: ResegmentError) -> None:
        """One message that says what, where and what next."""
        if self.as_json:
            self._json({"error": str(error), "exit_code": error.exit_code})
        self.err.print("[red]error[/] ", end="")
        self.err.print(str(error), markup=False, soft_wrap=True)

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

    def _json(self, value: Any) -> None:
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


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
    from pydantic import ValidationError

    shown = Shown(as_json)
    try:
        yield shown
    except (typer.Exit, typer.BadParameter):
        raise
    except ResegmentError as error:
        if debug:
            raise
        shown.error(error)
        raise typer.Exit(error.exit_code) from None
    except ValidationError as error:
        if debug:
            raise
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()
        )
        shown.error(InputError(f"the call is wrong: {problems}"))
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        shown.err.print("stopped; `resegment run --resume RUN_ID` finishes it")
        raise typer.Exit(130) from None
    except Exception as error:
        if debug:
            raise
        shown.error(ResegmentError(f"unexpected {type(error).__name__}; --debug shows it whole"))
        raise typer.Exit(3) from None


def error_of(state: "State") -> Exception:
    """The error that failed a flow run."""
    error = state.result(raise_on_failure=False)
    return error if isinstance(error, Exception) else ResegmentError(state.message or "failed")


def _table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 else "right")
    return table
