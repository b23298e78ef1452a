"""By hand: the `resegment` command. Heavy things load in the command that needs them."""

import difflib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from deployments import console, demo, lists, months, records
from deployments.console import Shown
from deployments.options import (
    DONE,
    RUNS,
    ContractName,
    Debug,
    Decimal,
    Delimiter,
    Encoding,
    Json,
    LimitsGiven,
    Month,
    Preset,
    Publish,
    Query,
    Refit,
    Runs,
    StoreUrl,
)
from deployments.running import run_flow
from expectations.errors import InputError

WRONG_CALL: Any = typer.BadParameter.__mro__[1]  # click's, or typer's copy of it


class Commands(TyperGroup):
    """The commands. Where JSON is asked for, a wrong call is told as JSON, too."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command named in `ctx`."""
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except WRONG_CALL as error:
            if as_json:
                console.print_json(console.as_error(InputError(error.format_message())))
            raise


if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect.states import State

    from flows.parameters import SegmentParameters

app = typer.Typer(
    cls=Commands,
    name="resegment",
    help="Customer segmentation that is run every month: each step behind its gate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
months.register(app)
demo.register(app)
records.register(app)
lists.register(app)


@app.command()
def run(
    source: Annotated[
        str,
        typer.Option(
            envvar="RESEGMENT_SOURCE",
            help="Path or URL of CSV, CSV.gz or Parquet; {month} is filled in; "
            "`sample` draws synthetic customers.",
        ),
    ] = "sample",
    month: Month = "",
    contract: ContractName = "ccdata",
    segments: Annotated[str, typer.Option(help="How many segments: auto, or a number.")] = "auto",
    embedding: Annotated[
        str, typer.Option(help="The space: auto, none, pca or autoencoder.")
    ] = "auto",
    preset: Annotated[
        Preset, typer.Option(help="notebook: the usual notebook, measured beside ours.")
    ] = "monthly",
    refit: Annotated[
        Refit, typer.Option(help="auto: a second opinion; always: publish a new fit; never: none.")
    ] = "auto",
    publish: Annotated[
        Publish, typer.Option(help="auto: unless a limit asks; ask: after a decision; never.")
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same segments.")] = 0,
    resume: Annotated[str | None, typer.Option(metavar="RUN_ID", help="Finish a run.")] = None,
    limit: LimitsGiven = None,
    query: Query = "",
    secret: Annotated[
        str, typer.Option(help="Prefect Secret block with the password of a database as source.")
    ] = "",
    delimiter: Delimiter = "",
    decimal: Decimal = "",
    encoding: Encoding = "",
    store: StoreUrl = "",
    runs: Runs = RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Segment a month of customers, and publish it."""
    with console.session(as_json, debug) as shown:
        if resume == "":  # as an unset variable of a shell gives
            raise InputError("--resume: no run id. `resegment runs` lists what is there.")
        asked_for: dict[str, Any] = {
            "source": {
                **_source(source, delimiter, decimal, encoding),
                "query": query,
                "secret": secret,
            },
            "month": month,
            "contract": contract,
            "preset": preset,
            "refit": refit,
            "publish": publish,
            "store": store,
            "selection": {"segments": _segments(segments)},
            "embedding": {"embedding": embedding},
            "seed": seed,
            "runs": str(runs.resolve()),
        }
        for part, thresholds in _thresholds(limit).items():
            asked_for[part] = {**thresholds, **asked_for.get(part, {})}
        if limit:  # a wrong one is told before a server is started
            _parameters(asked_for)
        summary = _run_month(asked_for, resume or "", shown, debug)
        shown.run(summary)
        if summary["status"] not in DONE:
            raise typer.Exit(1)


@app.command()
def check(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Path or URL of CSV, CSV.gz or Parquet.")
    ],
    month: Month = "",
    contract: ContractName = "ccdata",
    refused: Annotated[
        Path | None, typer.Option(help="Write the refused rows to this Parquet file.")
    ] = None,
    limit: LimitsGiven = None,
    delimiter: Delimiter = "",
    decimal: Decimal = "",
    encoding: Encoding = "",
    runs: Runs = RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Ask the raw gate alone: verdict, counts by rule, refused rows."""
    with console.session(as_json, debug) as shown:
        from datetime import UTC, datetime

        from expectations.contract import load_contract
        from expectations.gate import check as ask
        from expectations.rules import raw_rules
        from flows.parameters import SegmentParameters
        from tasks import ingestion, keeping

        if refused and refused.suffix != ".parquet":
            raise InputError(f"--refused {refused}: give a name that ends in .parquet.")
        asked_for = {
            "source": _source(source, delimiter, decimal, encoding),
            "month": month,
            **_thresholds(limit),
        }
        parameters = SegmentParameters.model_validate(asked_for)
        table_contract = load_contract(contract)
        uri = ingestion.resolve_uri(source, parameters.month_at(datetime.now(UTC).astimezone()))
        read = ingestion.read_customers(ingestion.fetch(uri), table_contract, parameters.source)
        verdict = ask("raw", read.table, raw_rules(table_contract, parameters.limits))
        if refused:
            with keeping.outside(str(refused), "or choose another file"):
                keeping.keep(refused, verdict.refused)
        shown.verdict(verdict, dict(read.log), refused)
        if verdict.answer == "refuse":
            raise typer.Exit(1)


@app.command()
def score(
    source: Annotated[
        str,
        typer.Option(
            envvar="RESEGMENT_SOURCE",
            help="Path or URL of CSV, CSV.gz or Parquet, or a database's URL with --query.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="A .parquet or .csv file.")],
    month: Month = "",
    contract: ContractName = "ccdata",
    query: Query = "",
    delimiter: Delimiter = "",
    decimal: Decimal = "",
    encoding: Encoding = "",
    store: StoreUrl = "",
    runs: Runs = RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Assign customers with the published model; nothing but a file is written."""
    with console.session(as_json, debug) as shown:
        from datetime import UTC, datetime

        from expectations.contract import load_contract
        from flows.parameters import SegmentParameters
        from tasks.score_published import score_published

        asked_for = {
            "source": {**_source(source, delimiter, decimal, encoding), "query": query},
            "month": month,
            "store": store,
            "runs": str(runs),
        }
        parameters = SegmentParameters.model_validate(asked_for)
        with shown.listening():
            told = score_published(
                parameters.source,
                parameters.month_at(datetime.now(UTC).astimezone()),
                load_contract(contract),
                parameters.store_url,
                output,
                console.progress("score"),
            )
        shown.scored(told)


@app.command()
def sample(
    output: Annotated[Path, typer.Option(help="A .csv, .csv.gz or .parquet file.")],
    rows: Annotated[int, typer.Option(min=1)] = 8950,
    month: Month = "",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a synthetic month of customers, with its planted truth beside it."""
    with console.session(as_json, debug) as shown:
        from datetime import UTC, datetime

        from flows.parameters import SegmentParameters
        from tasks import keeping
        from tasks.sample import write_sample

        period = SegmentParameters(month=month).month_at(datetime.now(UTC).astimezone())
        with keeping.outside(str(output), "or choose another file"):
            try:
                table, truth = write_sample(output, rows, period, seed)
            except ValueError as error:
                raise InputError(f"sample: {error}") from None
        shown.sample({"table": str(table), "truth": str(truth), "rows": rows, "month": str(period)})


def _run_month(asked_for: dict[str, Any], resume: str, shown: Shown, debug: bool) -> dict[str, Any]:
    """Run the monthly flow and give the summary of what it left."""

    def prepare() -> "Callable[[], State]":
        from expectations import gate
        from flows.segment import segment
        from tasks.runs import find_run

        parameters = _parameters(asked_for)
        if resume:
            find_run(parameters.runs_folder, resume)
        gate.prepare()
        return lambda: segment(parameters, resume=resume, return_state=True)

    state = run_flow(prepare, shown, debug)
    return _summary_of(state, _parameters(asked_for).runs_folder, resume)


def _summary_of(state: "State", runs: Path, resumed: str) -> dict[str, Any]:
    """What the flow run left; of a month that was there already, what its run left."""
    from tasks import reporting
    from tasks.runs import find_by_flow_run

    if state.name == "Unchanged":
        run_id, _, says = str(state.message).partition(": ")
        return told_again(runs, run_id, says)
    run = find_by_flow_run(runs, str(state.state_details.flow_run_id), resumed)
    return reporting.summarise(run.manifest, run.folder)


def told_again(runs: Path, run_id: str, says: str) -> dict[str, Any]:
    """The summary of the run that published the month before, and that nothing was done."""
    from tasks import reporting
    from tasks.runs import find_run

    run = find_run(runs, run_id)
    summary = reporting.summarise(run.manifest, run.folder)
    return {**summary, "warnings": [*summary["warnings"], says]}


def _source(uri: str, delimiter: str, decimal: str, encoding: str) -> dict[str, str]:
    if uri != "sample" and "://" not in uri:
        uri = os.path.abspath(uri)  # noqa: PTH100 - a run's own folder is elsewhere; keeps {month}
    return {"uri": uri, "delimiter": delimiter, "decimal": decimal, "encoding": encoding}


def _thresholds(given: list[str] | None) -> dict[str, dict[str, str]]:
    """Each limit and threshold below the part of the parameters that knows it."""
    parts: dict[str, dict[str, str]] = {}
    for one in given or []:
        name, equals, value = one.partition("=")
        if not equals:
            raise InputError(f"--limit {one}: write NAME=VALUE, as max_quarantine_share=0.02.")
        parts.setdefault(_part_of(name), {})[name] = value
    return parts


def _parameters(asked_for: dict[str, Any]) -> "SegmentParameters":
    from flows.parameters import SegmentParameters

    return SegmentParameters.model_validate(asked_for)


def _part_of(name: str) -> str:
    from flows.parameters import SegmentParameters

    fields = SegmentParameters.model_fields
    parts = ("limits", "selection", "scaling", "plain_rule", "typicality", "embedding")
    known = {part: getattr(fields[part].annotation, "model_fields", {}) for part in parts}
    if name in ("segments", "embedding"):
        raise InputError(f"--limit {name}: say --{name}.")
    for part, names in known.items():
        if name in names:
            return part
    near = difflib.get_close_matches(name, [one for names in known.values() for one in names], 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise InputError(f"--limit {name}: no such limit or threshold.{hint}")


def _segments(text: str) -> int:
    if text == "auto":
        return 0
    if not (text.isascii() and text.isdigit() and 2 <= int(text) <= 50):
        raise InputError(f"--segments {text!r}: say auto, or a number from 2 to 50.")
    return int(text)


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def main() -> None:
    """Entry point of the `resegment` command."""
    signal.signal(signal.SIGTERM, _end)  # so that `finally` runs and no server is left behind
    app()


if __name__ == "__main__":
    main()
