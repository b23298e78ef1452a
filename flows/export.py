"""Campaign lists of a published month, for one destination."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.states import Completed, State

from expectations.errors import ResegmentError
from flows.parameters import known_store, runs_folder
from flows.segment import now
from tasks.control import SHARE
from tasks.exporting import Wanted
from tasks.exporting import export as export_lists
from tasks.store import open_store


@flow(name="export")
def export(
    run_id: str,
    destination: str,
    output: str,
    campaign: str = "",
    control: float = SHARE,
    codes: bool = False,
    base_rate: float | None = None,
    runs: str = "",
    store: str = "",
) -> State:
    """Write a published month's campaign lists, and what has changed for a destination.

    Args:
        run_id: The publication.
        destination: Who gets the lists: letters, digits, dashes and underscores.
        output: The folder in which the export's own is made.
        campaign: The control group's name; another campaign leaves out other people. Empty:
            destination and month.
        control: Share of the customers who are held back to compare with. 0: nobody.
        codes: Neutral codes instead of the segments' names.
        base_rate: Share of those held back who are expected to do what the campaign is for: then
            the lift that could be seen is told. Empty: it is not.
        runs: The folder of the run folders. Empty: RESEGMENT_RUNS, else ./runs.
        store: The segment store's URL. Empty: RESEGMENT_STORE, else the one among the runs.
    """
    opened = open_store(known_store(store, runs_folder(runs)))
    wanted = Wanted(destination, Path(output), campaign, control, codes, base_rate)
    try:
        told: dict[str, Any] = export_lists(opened, run_id, wanted, now())
    except ResegmentError:
        raise
    except Exception as error:  # its words may hold a customer
        raise ResegmentError(
            f"export: unexpected {type(error).__name__}. Run the command again: it ends or takes "
            "back what it began."
        ) from None
    said = f"{destination}: number {told['number']}, the segments of {told['month']}."
    return Completed(message=said, data=told)
