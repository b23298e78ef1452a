"""What changed since last month, in words; small counts are not told."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tasks.small_counts import few, hidden

SHIFTED = 0.1  # in standard deviations, or as population stability index: worth a word
MOST_TOLD = 3
NOT_TOLD = "–"  # noqa: RUF001 - an en dash, as in a table
NOISE = {
    "boundary": "would if every number were 5 % off, as they lie at a boundary",
    "refit": "are put elsewhere by the new fit on the same numbers",
}
ENDS = ("joined", "left", "not_assessed")
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
    said = [
        f"Since {rests['previous_month']}, {_percent(changes['churn'])} of "
        f"{_compared(changes, min_cell)} have moved{_noise(changes['noise'])}.",
        *_causes(changes, min_cell),
        _ends(changes, min_cell),
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

    A cell of fewer than `min_cell` customers says no more than that, and a cell that would give
    it away by subtraction says nothing.
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
    is_hidden, counts = hidden(counts, min_cell)[order].to_numpy(), counts[order]
    lines = [
        (str(of), [_cell(*cell, sum(line), min_cell) for cell in zip(line, untold, strict=True)])
        for of, line, untold in zip(counts.index, counts.to_numpy(), is_hidden, strict=True)
    ]
    return [str(c) for c in order], lines


def _cell(customers: int, is_hidden: bool, of: int, min_cell: int) -> str:
    if 0 < customers < min_cell:
        return f"< {min_cell}"
    if is_hidden:
        return NOT_TOLD
    return f"{customers / of:.0%}" if customers else ""


def _compared(changes: Mapping[str, Any], min_cell: int) -> str:
    """How many were compared, unless a total less that number would be a small count."""
    if any(0 < changes[name] < min_cell for name in ENDS):
        return "the customers compared"
    return f"the {changes['stayed'] + changes['moved']:,} customers compared"


def _ends(changes: Mapping[str, Any], min_cell: int) -> str:
    """Both months' totals are known, and so is who joined less who is here no more."""
    told = _told_together({name: changes[name] for name in ENDS}, min_cell)
    return (
        f"Joined: {told['joined']}; left: {told['left']}; not assessed, as their rows were set "
        f"aside: {told['not_assessed']}."
    )


def _told_together(counts: Mapping[str, int], min_cell: int) -> dict[str, str]:
    """Counts whose sum is known, in words."""
    is_hidden = hidden(pd.DataFrame({"customers": counts}), min_cell, row_totals=False)["customers"]
    return {
        name: few(n, min_cell) if 0 < n < min_cell or not is_hidden[name] else "not told"
        for name, n in counts.items()
    }


def _noise(noise: Mapping[str, Any] | None) -> str:
    if noise is None or noise["share"] is None:
        return ""
    return f"; {_percent(noise['share'])} {NOISE[noise['kind']]}"


def _causes(changes: Mapping[str, Any], min_cell: int) -> list[str]:
    counts = _told_together(changes["causes"], min_cell)
    told = [f"{name} {counts[name]}" for name, n in changes["causes"].items() if n]
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
