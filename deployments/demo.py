"""The command `demo`: a synthetic year, published month by month."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments import console
from deployments.console import Shown
from deployments.options import RUNS, Debug, Json, Month, Runs, StoreUrl
from deployments.running import run_flow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    from prefect.states import State

    from flows.parameters import SegmentParameters

BARS = "▁▂▃▄▅▆▇█"


def register(app: typer.Typer) -> None:
    """Add this command to the others."""
    app.command("demo")(demo)


def demo(
    months: Annotated[int, typer.Option(min=1, max=120, help="How many months in a row.")] = 12,
    rows: Annotated[int, typer.Option(min=100, max=80_000, help="Customers in a month.")] = 8950,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same year.")] = 0,
    refit: Annotated[str, typer.Option(help="auto: a second opinion; always: a new fit.")] = "auto",
    month: Month = "",
    segments: Annotated[str, typer.Option(help="How many segments: auto, or a number.")] = "auto",
    embedding: Annotated[str, typer.Option(help="auto, none, pca or autoencoder.")] = "auto",
    store: StoreUrl = "",
    runs: Runs = RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Publish a synthetic year month by month, with planted moves; --month is its last one."""
    with console.session(as_json, debug) as shown:
        from datetime import UTC, datetime

        from flows.parameters import SegmentParameters
        from tasks.year import months_until

        asked_for = {
            "source": {"uri": "sample", "rows": rows},
            "month": month,
            "selection": {"segments": 0 if segments == "auto" else segments},
            "embedding": {"embedding": embedding},
            "refit": refit,
            "seed": seed,
            "store": store,
            "runs": str(runs.resolve()),
        }
        parameters = SegmentParameters.model_validate(asked_for)
        last = parameters.month_at(datetime.now(UTC).astimezone())
        parameters = parameters.model_copy(update={"month": str(last)})
        state = run_flow(lambda: _prepared(parameters, months), shown, debug)
        told = year_of(parameters, months_until(last, months), str(state.message))
        show_year(shown, told, parameters.limits.min_cell)
        if state.name != "Completed":
            raise typer.Exit(1)


def _prepared(parameters: "SegmentParameters", months: int) -> "Callable[[], State]":
    from expectations import gate
    from flows.demo import demo as year

    for handler in logging.getLogger("resegment").handlers:
        handler.addFilter(_a_line_per_month)
    gate.prepare()
    return lambda: year(parameters, months, return_state=True)


def _a_line_per_month(record: logging.LogRecord) -> bool:
    """Let a step be told while it is under way, and only a month stay."""
    if not hasattr(record, "is_whole_month"):
        record.progress = None
    return True


def year_of(
    parameters: "SegmentParameters", months: "Sequence[pd.Period]", says: str
) -> dict[str, Any]:
    """What the months say that are published: a line each, and the sizes of the segments."""
    from tasks import published
    from tasks.run_list import one_run
    from tasks.store import open_store
    from tasks.year import month_line, sizes_of

    store = open_store(parameters.store_url)
    standing = {one.month: one.run_id for one in published.publications(store) if one.stands}
    run_ids = [standing[month] for month in months if month in standing]
    folder = parameters.runs_folder
    summaries = [one_run(folder, parameters.store_url, run_id) for run_id in run_ids]
    return {
        "says": says,
        "months": [month_line(one, _truth(folder / one["run_id"])) for one in summaries],
        "segments": sizes_of(summaries),
        "store": store.database.shown,
    }


def _truth(folder: "Path") -> "pd.DataFrame | None":
    """What was planted in a month; unknown where its folder is gone."""
    import pandas as pd

    path = folder / "truth.parquet"
    return pd.read_parquet(path) if path.exists() else None


def show_year(shown: Shown, told: Mapping[str, Any], min_cell: int) -> None:
    """The months and the segments, as two tables."""
    if shown.as_json:
        return console.print_json(told)
    if told["months"]:
        shown.out.print(_months(told["months"], min_cell))
        shown.out.print(_segments(told))
    shown.out.print(told["says"], markup=False, soft_wrap=True)
    return shown.out.print(f"store {told['store']}", markup=False, soft_wrap=True)


def _months(lines: Sequence[Mapping[str, Any]], min_cell: int) -> Any:
    from tasks.small_counts import few

    causes = ("behaviour", "boundary", "refit", "correction")
    seen = [name for name in causes if any(line["causes"].get(name) for line in lines)]
    table = _table("month", "k", "customers", "moved", "noise", *seen, "planted", "joined", "left")
    for line in lines:
        counts = [*(line["causes"].get(name) for name in seen), line["planted"]]
        told = [*counts, line["joined"], line["left"]]
        table.add_row(
            line["month"],
            str(line["k"]),
            f"{line['customers']:,}",
            *(_percent(line[name]) for name in ("churn", "noise")),
            *("-" if count is None else few(count, min_cell) for count in told),
        )
    return table


def _segments(told: Mapping[str, Any]) -> Any:
    """Every segment with its size in the first and the last month, and the way between."""
    from rich.markup import escape

    first, last = (told["months"][at]["month"] for at in (0, -1))
    named = [one["name"] for one in told["segments"] if one["name"] != one["id"]]
    table = _table("segment", *["name"] * bool(named), first, last, "trend")
    for one in told["segments"]:
        sizes = one["sizes"]
        ends = ["-" if size is None else f"{size:,}" for size in (sizes[0], sizes[-1])]
        names = [escape(one["name"] or "")] * bool(named)
        table.add_row(one["id"], *names, *ends, trend(sizes))
    return table


def trend(sizes: Sequence[int | None]) -> str:
    """A bar per month, from the smallest to the largest size; a blank where there is none."""
    known = [size for size in sizes if size is not None]
    low, width = min(known), max(max(known) - min(known), 1)
    steps = len(BARS) - 1
    return "".join(
        " " if size is None else BARS[round((size - low) / width * steps)] for size in sizes
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)  # as wide as 80 characters allow
    for column in columns:
        is_text = column in ("month", "segment", "name", "trend")
        table.add_column(column, justify="left" if is_text else "right", no_wrap=True)
    return table
