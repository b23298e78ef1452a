"""Score a source with the published model: no refit, nothing but a file is written."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run

from expectations.contract import load_contract
from expectations.errors import ResegmentError
from flows.parameters import SegmentParameters
from flows.passwords import password_of
from tasks import artifacts
from tasks.ingestion import SourceOptions
from tasks.score_published import score_published


@flow(name="score")
def score(
    source: SourceOptions,
    output: str,
    month: str = "",
    contract: str = "ccdata",
    store: str = "",
    runs: str = "",
) -> dict[str, Any]:
    """Assign the customers of a source to the published segments.

    Args:
        source: Where the customers come from.
        output: The .parquet or .csv file to write; {month} is filled in.
        month: YYYY-MM, for {month} and :month. Empty: the last whole month before the start.
        contract: Name of a shipped contract, or the path of a YAML file.
        store: The segment store's URL. Empty: RESEGMENT_STORE, else a file among the runs.
        runs: Folder of the run folders. Empty: RESEGMENT_RUNS, else ./runs.
    """
    asked_for = SegmentParameters(
        source=source, month=month, contract=contract, store=store, runs=runs
    )
    start = flow_run.scheduled_start_time or datetime.now(UTC)
    period = asked_for.month_at(start.astimezone())
    try:
        told = score_published(
            source,
            period,
            load_contract(contract),
            asked_for.store_url,
            Path(output.replace("{month}", str(period))),
            artifacts.progress("score"),
            password_of(source.secret),
        )
    except ResegmentError:
        raise
    except Exception as error:  # its words may hold a customer's cell
        raise ResegmentError(f"scoring failed: unexpected {type(error).__name__}") from None
    counts = {**told["rows"], "untypical": told["untypical"], "model of run": told["run_id"]}
    create_table_artifact([counts], key="segment-score", description=told["month"])
    return told
