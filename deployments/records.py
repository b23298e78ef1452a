"""The commands about what is kept: forget customers, drop old months, run one again."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments import console
from deployments.options import RUNS, Debug, Json, Runs, StoreUrl
from deployments.running import run_flow
from expectations.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect.states import State

    from tasks.store import Store


def register(app: typer.Typer) -> None:
    """Add these commands to the others."""
    app.command("forget")(forget)
    app.command("prune")(prune)
    app.command("replay")(replay)


def forget(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="Customers, letter by letter.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A file with one id per line; - is standard input.")
    ] = None,
    store: StoreUrl = "",
    runs: Runs = RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Erase customers from the segment store and from every file below the runs folder.

    Found again in a source, they count as objecting. No id is printed or logged; in a shell's
    history they stay, so give many, or all, with --file.
    """
    with console.session(as_json, debug) as shown:
        from datetime import UTC, datetime

        from tasks import forgetting

        customers = _ids(ids or [], file)
        try:
            told = forgetting.forget(
                _stores(store, runs, make=True), runs, customers, datetime.now(UTC)
            )
        except KeyboardInterrupt:
            shown.err.print(f"stopped. {forgetting.AGAIN}")
            raise typer.Exit(130) from None
        shown.said({**told._asdict(), "says": forgetting.in_words(told)})


def prune(
    keep: Annotated[int, typer.Option(min=1, help="How many months to keep, the newest included.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Drop old runs that await a decision, too.")
    ] = False,
    store: StoreUrl = "",
    runs: Runs = RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Drop the folders and publications of months before the newest N.

    Months are counted from the newest on record. The current publication stays, with what it
    compares with; so do segment ids, and who was forgotten.
    """
    with console.session(as_json, debug) as shown:
        from tasks import pruning

        told = pruning.prune(_stores(store, runs, make=False), runs, keep, drop_awaiting=yes)
        shown.said({**told._asdict(), "says": pruning.in_words(told)})


def replay(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID")],
    store: StoreUrl = "",
    runs: Runs = RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run a month again from its manifest, and compare: exit code 0 if all is identical, else 1.

    Nothing is published. Where customers were erased, the kept models assign the others.
    """
    with console.session(as_json, debug) as shown:

        def prepare() -> "Callable[[], State]":
            from expectations import gate
            from flows.parameters import recordable
            from flows.replay import find_replayable
            from flows.replay import replay as repeat

            find_replayable(runs, run_id)
            where = str(runs.resolve()), recordable(store)
            gate.prepare()
            return lambda: repeat(run_id, *where, return_state=True)

        told = run_flow(prepare, shown, debug).result()
        shown.said(told)
        if not told["identical"]:
            raise typer.Exit(1)


def _ids(given: list[str], file: Path | None) -> set[str]:
    """The ids given, without the blanks around them; an id never has such."""
    from tasks.keeping import outside

    lines = list(given)
    if file is not None:
        with outside(str(file), "and run the command again"):
            content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        try:
            lines += content.decode("utf-8-sig").split("\n")
        except UnicodeDecodeError:
            raise InputError(f"--file {file}: write the ids in UTF-8, one per line.") from None
    if not (ids := {stripped for line in lines if (stripped := line.strip())}):
        raise InputError("nobody to forget: give ids, or --file with one per line.")
    return ids


def _stores(given: str, runs: Path, *, make: bool) -> list["Store"]:
    """The store given, or of RESEGMENT_STORE, and those among the runs.

    With `make` each origin that has runs here gets one, so that a tombstone has its place.
    """
    from tasks.runs import list_runs
    from tasks.store import DEFAULTS, open_store

    named = given or os.environ.get("RESEGMENT_STORE", "")
    origins = {one["origin"] for one in list_runs(runs)} if make else set()
    opened = []
    if named:
        opened.append(open_store(named, min(origins) if len(origins) == 1 else None))
    for origin, name in DEFAULTS.items():
        path = runs.resolve() / name
        if path.exists() and path not in {one.database.path for one in opened}:
            opened.append(open_store(str(path)))
        elif origin in origins - {one.origin for one in opened}:
            opened.append(open_store(str(path), origin))
    if make and not opened:
        raise InputError(
            f"there is neither a run nor a segment store in {runs.resolve()}. --runs and --store "
            "say where they are."
        )
    return opened
