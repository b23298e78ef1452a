"""The command that takes campaign lists out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments import console
from deployments.options import RUNS, Debug, Json, Runs, StoreUrl
from deployments.running import run_flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect.states import State


def register(app: typer.Typer) -> None:
    """Add this command to the others."""
    app.command("export")(export)


def export(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="A published month.")],
    destination: Annotated[str, typer.Option(help="Who gets the lists, as a name.")],
    output: Annotated[Path, typer.Option(help="The folder in which the lists' own is made.")],
    campaign: Annotated[
        str,
        typer.Option(help="Another campaign holds back others; default: destination and month."),
    ] = "",
    control: Annotated[
        float, typer.Option(help="Share of the customers held back to compare with; 0: nobody.")
    ] = 0.1,
    codes: Annotated[
        bool, typer.Option("--codes", help="Neutral codes instead of the segments' names.")
    ] = False,
    base_rate: Annotated[
        float | None,
        typer.Option(help="Share expected to respond anyway: tells the lift that could be seen."),
    ] = None,
    store: StoreUrl = "",
    runs: Runs = RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the campaign lists of a published month, and what has changed for a destination.

    Changes are against what this destination got last; one that never got anything gets the whole.
    """
    with console.session(as_json, debug) as shown:

        def prepare() -> "Callable[[], State]":
            from flows.export import export as export_lists
            from flows.parameters import recordable

            where = {"runs": str(runs.resolve()), "store": recordable(store)}
            asked = {"campaign": campaign, "control": control, "codes": codes}
            return lambda: export_lists(
                run_id,
                destination,
                str(output.absolute()),
                base_rate=base_rate,
                **asked,
                **where,
                return_state=True,
            )

        try:
            told = run_flow(prepare, shown, debug).result()
        except KeyboardInterrupt:
            shown.err.print("stopped. Run the same command again: it ends what was begun.")
            raise typer.Exit(130) from None
        shown.exported(told)
