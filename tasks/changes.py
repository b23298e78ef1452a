"""What changed since last month, in words; small counts are not told."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

SHIFTED = 0.1  # in standard deviations, or as population stability index: worth a word
MOST_TOLD = 3
NOISE = {
    "boundary": "would if every number were 5 % off, as they lie at a boundary",
    "refit": "are put elsewhere by the new fit on the same numbers",
}
NOT_HERE = {"left": "left", "not_assessed": "not assessed"}


def changes_in_words(
    changes: Mapping[str, Any] | None, rests: Mapping[str, Any] | None, min_cell: int
) -> list[str]:
    """Sentences about the moves since last month; none where there was no month before.

    Parameters
    ----------
    changes : mapping, optional
        `changes` of the publication's log.
    rests : mapping, optional
        What the run rests on.
    min_cell : int
        Counts of customers below this are told as "< 5".
    """
    if not changes or not rests or not changes["compared"]:
        return []
    compared = f"the {changes['stayed'] + changes['moved']:,} customers compared"
    said = [
        f"Since {rests['previous_month']}, {_percent(changes['churn'])} of {compared} "
        f"have moved{_noise(changes['noise'])}.",
        *_causes(changes, min_cell),
        f"{few(changes['joined'], min_cell)} joined, {few(changes['left'], min_cell)} left, "
        f"{few(changes['not_assessed'], min_cell)} were not assessed: their rows were set aside.",
    ]
    if changes["without_id"]:
        said.append(
            f"{few(changes['without_id'], min_cell)} rows have no readable id; their owners count "
            "as left."
        )
    if rests["gap"]:
        said.append(f"{_months(rests['gap'])} before this one {_are(rests['gap'])} missing.")
    return [*said, *_transitions(changes["transitions"]), *_drift(changes)]


def migration_lines(
    migration: Sequence[Mapping[str, Any]], min_cell: int
) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The migration matrix as shares of last month's segments: columns, and lines of cells.

    A cell of fewer than `min_cell` customers says no more than that.
    """
    table = pd.DataFrame(migration)
    if table.empty:
        return [], []
    known = table[table["was_assessed"].fillna(False).astype(bool)]
    if known.empty:
        return [], []
    to = known["segment"].where(
        ~known["status"].isin(list(NOT_HERE)), known["status"].map(NOT_HERE)
    )
    counts = known.assign(to=to).pivot_table(
        index="previous", columns="to", values="customers", aggfunc="sum", fill_value=0
    )
    order = [c for c in counts if c not in NOT_HERE.values()]
    order += [c for c in NOT_HERE.values() if c in counts]
    lines = [
        (str(of), [_cell(line[c], sum(line.values()), min_cell) for c in order])
        for of, line in counts.to_dict("index").items()
    ]
    return [str(c) for c in order], lines


def few(customers: int, min_cell: int) -> str:
    """A count of customers that is told only if it is large enough."""
    return f"{customers:,}" if customers >= min_cell or not customers else f"< {min_cell}"


def _cell(customers: int, of: int, min_cell: int) -> str:
    if not customers:
        return ""
    return f"{customers / of:.0%}" if customers >= min_cell else f"< {min_cell}"


def _noise(noise: Mapping[str, Any] | None) -> str:
    if noise is None or noise["share"] is None:
        return ""
    return f"; {_percent(noise['share'])} {NOISE[noise['kind']]}"


def _causes(changes: Mapping[str, Any], min_cell: int) -> list[str]:
    told = [f"{name} {few(n, min_cell)}" for name, n in changes["causes"].items() if n]
    return [f"Causes: {', '.join(told)}."] if told else []


def _transitions(transitions: Sequence[Mapping[str, Any]]) -> list[str]:
    """What became of segments, where it is more than that they went on."""
    told = [
        f"{' and '.join(one['from']) or 'nobody'} to {' and '.join(one['to']) or 'nobody'}"
        f" ({one['kind']})"
        for one in transitions
        if one["kind"] != "survival" or one["from"] != one["to"]
    ]
    return [f"Segments: {'; '.join(told)}."] if told else []


def _drift(changes: Mapping[str, Any]) -> list[str]:
    shifted = [one for one in changes["drift"] if (one["psi"] or 0) >= SHIFTED]
    shifted.sort(key=lambda one: -one["psi"])
    told = [f"{one['column']} (PSI {one['psi']:.2f})" for one in shifted[:MOST_TOLD]]
    moved = [one for one in changes["moved_most"] if abs(one["shift"]) >= SHIFTED]
    moved.sort(key=lambda one: -abs(one["shift"]))
    within = [f"{one['says']} in {one['segment']}" for one in moved[:MOST_TOLD]]
    said = [f"Columns that have shifted: {', '.join(told)}."] if told else []
    return [*said, *([f"What moved most: {'; '.join(within)}."] if within else [])]


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.1%}"


def _months(number: int) -> str:
    return "The month" if number == 1 else f"{number} months"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
