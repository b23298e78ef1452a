"""A run against its replay: customer by customer, figure by figure."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tasks.clustering import CHALLENGER, CHAMPION
from tasks.model import SegmentModel

SAME = 1e-9  # relative: below the last digits in which sums over the same rows may differ
SURE = 1e-6  # of a confidence
WHOSE = (CHAMPION, CHALLENGER)


class Compared(NamedTuple):
    """Where a run and its replay differ.

    Parameters
    ----------
    customers : int
        How many the run has.
    missing, added : int
        How many of them the replay does not have, and how many it has besides.
    moved : sequence of {whose, was, now, customers}
        Changed segments: the proposed ones, the champion's and the challenger's.
    unsure : int
        Customers in the same segment whose confidence or runner-up differs, or whether they are
        like others at all.
    metrics : sequence of {name, was, now}
        Figures that differ.
    """

    customers: int
    missing: int
    added: int
    moved: Sequence[Mapping[str, Any]]
    unsure: int
    metrics: Sequence[Mapping[str, Any]] = ()

    @property
    def is_identical(self) -> bool:
        """Whether nothing differs."""
        differs = self.missing, self.added, self.moved, self.unsure, self.metrics
        return not any(differs)


def compare_segments(was: pd.DataFrame, now: pd.DataFrame, id_column: str) -> Compared:
    """Compare two segments stages; their rows may be in any order.

    Raises `ValueError` where an id is in one of them twice.
    """
    both = was.merge(now, on=id_column, suffixes=("", "_now"), validate="1:1")
    moved: list[dict[str, Any]] = []
    unsure = _differ(both["typical"], both["typical_now"])
    for whose in ("", *(f"{one}_" for one in WHOSE)):
        then, again = both[f"{whose}segment"], both[f"{whose}segment_now"]
        differ = _differ(then, again)
        moved += _counted(whose.rstrip("_") or "proposed", then[differ], again[differ])
        unsure |= ~differ & _is_unsure(both, whose)
    return Compared(len(was), len(was) - len(both), len(now) - len(both), moved, int(unsure.sum()))


def _differ(was: pd.Series, now: pd.Series) -> pd.Series:
    """Whether they differ; nothing equals nothing."""
    return ((was != now) & (was.notna() | now.notna())).fillna(True).astype(bool)


def _is_unsure(both: pd.DataFrame, whose: str) -> pd.Series:
    was, now = (both[f"{whose}confidence{of}"].astype(float) for of in ("", "_now"))
    close = np.isclose(was, now, rtol=0, atol=SURE, equal_nan=True)
    return _differ(both[f"{whose}runner_up"], both[f"{whose}runner_up_now"]) | ~close


def _counted(whose: str, was: pd.Series, now: pd.Series) -> list[dict[str, Any]]:
    named = (one.astype(object).where(one.notna(), None) for one in (was, now))
    pairs = Counter(zip(*named, strict=True))
    return [
        {"whose": whose, "was": then, "now": again, "customers": n}
        for (then, again), n in pairs.most_common()
    ]


def compare_figures(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Figures that differ by more than their last digits, or are in one of them only."""
    names = [*was, *(name for name in now if name not in was)]
    lines = ({"name": name, "was": was.get(name), "now": now.get(name)} for name in names)
    return [line for line in lines if not _is_same(line["was"], line["now"])]


def _is_same(was: Any, now: Any) -> bool:
    if isinstance(was, float) and isinstance(now, float):
        return math.isclose(was, now, rel_tol=SAME, abs_tol=SAME) or was == now
    return was == now


def assigned_again(
    segments: pd.DataFrame,
    clean: pd.DataFrame,
    models: Mapping[str, tuple[SegmentModel, Sequence[str]] | None],
    whose: str,
) -> pd.DataFrame:
    """The segments stage of those who are left, from the kept models: nothing is fitted.

    Parameters
    ----------
    segments : DataFrame
        The segments stage as it is kept; only its ids are taken.
    clean : DataFrame
        The same customers in the same order.
    models : mapping
        Champion and challenger, each with the segment ids of its positions; None where there is
        none.
    whose : str
        Whose segments were proposed.
    """
    made = {one: dict(_assigned(model, clean)) for one, model in models.items() if model}
    columns = {f"{one}_{name}": part for one, parts in made.items() for name, part in parts.items()}
    judge = next(model for one in WHOSE if (model := models[one]))[0]
    return segments.assign(**columns, **made[whose], typical=judge.is_typical(clean))


def _assigned(
    model: tuple[SegmentModel, Sequence[str]], clean: pd.DataFrame
) -> Iterator[tuple[str, Any]]:
    pipeline, ids = model
    found, named = pipeline.assign(clean), np.asarray(ids, object)
    yield "segment", pd.array(named[found.segment], dtype="str")
    yield "confidence", found.confidence
    yield "runner_up", pd.array(named[found.runner_up], dtype="str")


def in_words(told: Mapping[str, Any]) -> str:
    """What the comparison says, in a sentence or a few."""
    erased = f"{told['erased']:,} erased, the rest " if told["erased"] else ""
    if told["identical"]:
        n, by = f"{told['customers']:,} customers", told["replayed_from"]
        return f"{told['run_id']}: {erased}identical: {n} from {by}."
    said = [f"{told['run_id']}: {erased}different from what is kept"]
    if told["missing"] or told["added"]:
        said.append(f"{told['missing']:,} customers are missing and {told['added']:,} new")
    said += [
        f"{one['customers']:,} customers {one['was'] or 'nowhere'} -> {one['now'] or 'nowhere'} "
        f"({one['whose']})"
        for one in told["moved"]
    ]
    if told["unsure"]:
        said.append(
            f"{told['unsure']:,} customers have another confidence, runner-up or typicality"
        )
    said += [f"{one['name']}: {one['was']} -> {one['now']}" for one in told["metrics"]]
    said += [f"package {one['name']}: {one['was']} -> {one['now']}" for one in told["versions"]]
    return "\n  ".join(said)
