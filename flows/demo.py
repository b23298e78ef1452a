"""A synthetic year: the monthly flow, month after month."""

import logging
from datetime import UTC, datetime

import pandas as pd
from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State

from flows.parameters import SegmentParameters
from flows.segment import segment
from tasks import reporting
from tasks.runs import find_by_flow_run, find_run
from tasks.year import in_words, month_line, months_until, moves_of

A_YEAR = SegmentParameters()

logger = logging.getLogger("resegment")


@flow(name="demo")
def demo(parameters: SegmentParameters = A_YEAR, months: int = 12) -> State:
    """Publish synthetic months one after the other, with planted moves in some.

    Args:
        parameters: What each month is asked for; its month is the last one.
        months: How many.
    """
    start = flow_run.scheduled_start_time or datetime.now(UTC)
    year = months_until(parameters.month_at(start.astimezone()), months)
    planted = parameters.source.moves or moves_of(year)
    source = parameters.source.model_copy(update={"moves": planted})
    for month in year:
        asked_for = parameters.model_copy(update={"source": source, "month": str(month)})
        state = segment(asked_for, return_state=True)
        if state.is_failed() and state.name != "Refused":
            state.result()  # raises what failed the month
        says = words_of(state, month, asked_for)
        logger.info(says, extra={"is_whole_month": True})
        if state.name != "Completed" and state.name != "Unchanged":
            return stopped(state, month)
    return Completed(message=f"{len(year)} months are published, the last {year[-1]}.")


def words_of(state: State, month: pd.Period, asked_for: SegmentParameters) -> str:
    """How a month went; of one that was there already, that nothing was done."""
    if state.name == "Unchanged":
        run_id, _, _ = str(state.message).partition(": ")
        run = find_run(asked_for.runs_folder, run_id)
        return f"{month} is there already, published by run {run.id}: nothing to do"
    run = find_by_flow_run(asked_for.runs_folder, str(state.state_details.flow_run_id))
    line = month_line(reporting.summarise(run.manifest, run.folder), None)
    return in_words(line, asked_for.limits.min_cell)


def stopped(state: State, month: pd.Period) -> State:
    """The year ends with a month that is not published: no other could follow it."""
    message = f"{month}: {state.message} The year stops here; the same command goes on with it."
    if state.is_failed():
        return Failed(name="Refused", message=message)
    return Completed(name="Awaiting", message=message)
