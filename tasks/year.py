"""A synthetic year: what is planted in it, and what its months say, a line each."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tasks.matching import sorted_ids
from tasks.small_counts import few
from tasks.source import PlantedMoves

# By place in the year: how many move, from which usage pattern to which ("": any).
PLANTED = (
    (5, 0.05, "", ""),
    (9, 0.25, "instalments", "one-off + instalments"),
)


def months_until(last: pd.Period, number: int) -> list[pd.Period]:
    """So many months in a row, `last` among them."""
    return list(pd.period_range(end=last, periods=number, freq="M"))


def moves_of(months: Sequence[pd.Period]) -> tuple[PlantedMoves, ...]:
    """What is planted in these months: in the fifth, in the ninth, and so in every year."""
    return tuple(
        PlantedMoves(month=str(month), share=share, source=source, target=target)
        for at, month in enumerate(months)
        for place, share, source, target in PLANTED
        if at % 12 == place - 1
    )


def month_line(summary: Mapping[str, Any], truth: pd.DataFrame | None) -> dict[str, Any]:
    """What a month says: counts, and how many changes were planted where the `truth` is known."""
    changes, rows = summary["changes"] or {}, summary["rows"]
    compared = bool(changes.get("compared"))
    planted = pd.Series(dtype=int) if truth is None else truth["cause"].value_counts()
    return {
        "month": summary["month"],
        "run_id": summary["run_id"],
        "status": summary["status"],
        "model": summary["model"],
        "k": summary["k"],
        "space": summary["space"],
        "customers": rows["kept"] if rows else None,
        "compared": changes["stayed"] + changes["moved"] if compared else None,
        "churn": changes["churn"] if compared else None,
        "noise": (changes["noise"] or {}).get("share") if compared else None,
        "causes": changes["causes"] if compared else {},
        **{name: changes[name] if compared else None for name in ("joined", "left")},
        "planted": None if truth is None else int(planted.get("moved", 0)),
        "aged": None if truth is None else int(planted.get("aged", 0)),
    }


def in_words(line: Mapping[str, Any], min_cell: int) -> str:
    """A month in one line; small counts are not told."""
    k, customers = line["k"] or "no", f"{line['customers'] or 0:,}"
    said = f"{line['month']} {line['status']}: {k} segments, {customers} customers"
    if line["churn"] is None:
        return said
    causes = [f"{name} {few(n, min_cell)}" for name, n in line["causes"].items() if n]
    moved = f"{line['churn']:.1%} moved"
    if line["noise"] is not None:
        moved += f" (noise {line['noise']:.1%})"
    ends = [f"{few(line[name], min_cell)} {name}" for name in ("joined", "left")]
    return f"{said}; {moved}{': ' if causes else ''}{', '.join(causes)}; {', '.join(ends)}"


def sizes_of(summaries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of every segment its name and, month by month, its customers; null where it was not there."""
    sizes = [{one["id"]: one["size"] for one in summary["segments"]} for summary in summaries]
    names = {one["id"]: one["name"] for summary in summaries for one in summary["segments"]}
    return [
        {"id": id_, "name": names[id_], "sizes": [known.get(id_) for known in sizes]}
        for id_ in sorted_ids(names)
    ]
