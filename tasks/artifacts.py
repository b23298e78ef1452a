"""What the Prefect UI shows of a run, under the same keys every month."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.events import emit_event

from tasks import markdown
from tasks.cards import segments_told

logger = logging.getLogger("resegment")


def show(
    summary: Mapping[str, Any],
    candidates: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, bytes],
) -> None:
    """The summary with pictures, and tables of gates, candidates and segments."""
    run_id = summary["run_id"]
    create_markdown_artifact(
        markdown.render_markdown(summary, pictures), key="segment-summary", description=run_id
    )
    tables = {
        "segment-gates": markdown.gate_lines(summary),
        "segment-candidates": candidates,
        "segment-segments": segments_told(summary),
    }
    for key, table in tables.items():
        if table:
            lines = [dict(line) for line in table]
            create_table_artifact(lines, key=key, description=run_id)


def refused(summary: Mapping[str, Any], message: str) -> None:
    """Emit `resegment.refused`, for others to hook on."""
    emit_event(
        "resegment.refused",
        resource={"prefect.resource.id": f"resegment.run.{summary['run_id']}"},
        payload={"run_id": summary["run_id"], "month": summary["month"], "message": message},
    )


def published(run_id: str, month: str, revision: int) -> None:
    """Emit `resegment.published`, for others to hook on."""
    emit_event(
        "resegment.published",
        resource={"prefect.resource.id": f"resegment.run.{run_id}"},
        payload={"run_id": run_id, "month": month, "revision": revision},
    )


def progress(key: str) -> Callable[[int, int], None]:
    """A callback (done, total) that moves a bar in Prefect and tells the logger's listeners."""
    bar, shown = None, 0.0

    def report(done: int, total: int) -> None:
        nonlocal bar, shown
        share = 100 * done / total
        logger.info("%s: %.0f %%", key, share, extra={"progress": (key, done, total)})
        if bar is None:
            bar, shown = create_progress_artifact(share, key=f"segment-progress-{key}"), share
        elif share - shown >= 10 or done == total:  # each move is a call to the server
            update_progress_artifact(bar, share)
            shown = share

    return report
