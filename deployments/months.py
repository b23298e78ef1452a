"""The commands about months that were run: list, show, decide, roll back, name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deployments import console
from deployments.options import RUNS, Debug, Json, Month, Runs, StoreUrl
from deployments.running import run_flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect.states import State

RunId = Annotated[str, typer.Argument(metavar="RUN_ID")]
Comment = Annotated[str, typer.Option(help="Why; it is recorded.")]
Who = Annotated[str, typer.Option(help="Who decides; it is recorded as stated.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the others."""
    app.command("runs")(list_runs)
    app.command("show")(show)
    app.command("status")(status)
    app.command("publish")(publish)
    app.command("rollback")(rollback)
    app.command("name")(name)


def list_runs(
    store: StoreUrl = "", runs: Runs = RUNS, as_json: Json = False, debug: Debug = False
) -> None:
    """List the runs with month, status, segments and metrics."""
    with console.session(as_json, debug) as shown:
        from flows.parameters import known_store
        from tasks.run_list import all_runs

        shown.runs(all_runs(runs, known_store(store, runs)))


def show(
    run_id: RunId,
    customer: Annotated[str, typer.Option(metavar="ID", help="One customer of the run.")] = "",
    store: StoreUrl = "",
    runs: Runs = RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show one run, or one customer of it."""
    with console.session(as_json, debug) as shown:
        from flows.parameters import known_store
        from tasks.run_list import one_run
        from tasks.runs import customer_of, find_run

        if customer:
            shown.customer(customer_of(find_run(runs, run_id), customer))
        else:
            shown.run(one_run(runs, known_store(store, runs), run_id))


def status(
    month: Month = "",
    store: StoreUrl = "",
    runs: Runs = RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say whether a month is published: exit code 0 if it is, or was settled by a person; else 1.

    For cron, systemd and probes.
    """
    with console.session(as_json, debug) as shown:
        from datetime import UTC, datetime

        from flows.parameters import SegmentParameters, known_store
        from tasks.run_list import status_of

        period = SegmentParameters(month=month).month_at(datetime.now(UTC).astimezone())
        told = status_of(known_store(store, runs), period)
        shown.status(told)
        if told["status"] is None:
            raise typer.Exit(1)


def publish(
    run_id: RunId,
    decision: Annotated[
        Literal["challenger", "champion", "keep"],
        typer.Option(help="With the new fit, with the published model, or keep last month."),
    ],
    comment: Comment = "",
    who: Who = "",
    store: StoreUrl = "",
    runs: Runs = RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Decide about a run that awaits it: publish it, or keep last month's publication."""
    with console.session(as_json, debug) as shown:

        def prepare() -> "Callable[[], State]":
            from flows.decide import decide
            from flows.parameters import recordable

            said = {"decision": decision, "comment": comment, "who": who}
            where = {"runs": str(runs.resolve()), "store": recordable(store)}
            return lambda: decide(run_id, **said, **where, return_state=True)

        run_flow(prepare, shown, debug)
        shown.run(_summary(runs, run_id))


def rollback(
    run_id: RunId,
    comment: Comment = "",
    who: Who = "",
    store: StoreUrl = "",
    runs: Runs = RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make an earlier publication current again; every one after it is withdrawn."""
    with console.session(as_json, debug) as shown:

        def prepare() -> "Callable[[], State]":
            from flows.decide import roll_back
            from flows.parameters import recordable

            where = {"runs": str(runs.resolve()), "store": recordable(store)}
            return lambda: roll_back(run_id, comment=comment, who=who, **where, return_state=True)

        state = run_flow(prepare, shown, debug)
        shown.said({"run_id": run_id, "says": state.message})


def name(
    segment: Annotated[str, typer.Argument(metavar="SEGMENT", help="Its id, as S03.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The name that it gets.")],
    note: Annotated[str, typer.Option(help="What there is to know about it.")] = "",
    store: StoreUrl = "",
    runs: Runs = RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Name a segment; the name stays with its id through every refit."""
    with console.session(as_json, debug) as shown:
        from datetime import UTC, datetime

        from flows.parameters import known_store
        from tasks.amending import name_segment
        from tasks.store import open_store

        opened = open_store(known_store(store, runs))
        name_segment(opened, segment, text, note or None, datetime.now(UTC))
        shown.said({"segment": segment, "name": text.strip(), "says": f"{segment}: {text.strip()}"})


def _summary(runs: Path, run_id: str) -> dict[str, Any]:
    from tasks import reporting
    from tasks.runs import find_run

    run = find_run(runs, run_id)
    return reporting.summarise(run.manifest, run.folder)
