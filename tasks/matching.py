"""Which old segment a new one is, and what became of the segments between two months."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist

INHERITED = 0.5  # Jaccard; above it no two segments can claim the same id
SURVIVED = 0.5  # share of a segment's customers that makes one its heir (MONIC's tau)
SPLIT_OFF = 0.25  # share that makes one a part of it (tau_split); two such are tau already


class Matched(NamedTuple):
    """The ids of a new fit's segments.

    `ids` by position; `born` are those minted for it and `retired` the old ones without an heir;
    `jaccards` by position, the overlap with the most similar old segment (empty where centres and
    no customers were compared).
    """

    ids: list[str]
    born: list[str]
    retired: list[str]
    jaccards: list[float]


def segment_id(number: int) -> str:
    """The id that was minted as the so-many-th: S01, S02, ... S100."""
    return f"S{number:02d}"


def match_segments(labels: np.ndarray, known: np.ndarray, k: int, minted: int) -> Matched:
    """Give the segments of a new fit their ids, by the customers they share with the old ones.

    Pairs are chosen by the Hungarian method (Kuhn 1955, "The Hungarian method for the assignment
    problem", NRLQ 2) on Jaccard overlaps (Jaccard 1912, "The distribution of the flora in the
    alpine zone", New Phytologist 11), as clusters are matched over time in Spiliopoulou et al.
    2006 ("MONIC: modeling and monitoring cluster transitions", KDD). An id is inherited at
    `INHERITED` or more, else the next one is minted, in order of position.

    Parameters
    ----------
    labels : ndarray of int, (n_customers,)
        Positions of the new fit.
    known : ndarray of object, (n_customers,)
        Old ids of the same customers; null where there is none, and then not compared.
    k : int
        Number of positions.
    minted : int
        How many ids were ever minted.
    """
    codes, old = pd.factorize(np.asarray(known, dtype=object), sort=True)
    shared = codes >= 0
    both = _overlaps(np.asarray(labels)[shared], codes[shared], k, len(old))
    either = both.sum(axis=1, keepdims=True) + both.sum(axis=0) - both
    jaccards = both / np.maximum(either, 1)  # (k, n_old)
    matched = _named(_pairs(1 - jaccards, jaccards >= INHERITED), k, list(old), minted)
    return matched._replace(jaccards=jaccards.max(axis=1, initial=0).tolist())


def match_profiles(new: pd.DataFrame, old: pd.DataFrame, minted: int) -> Matched:
    """The same by the segments' means, where too few customers are shared to go by them.

    An id is inherited where the two lie at most half as far apart as the two nearest old
    segments, so that no other old segment is nearer.

    Parameters
    ----------
    new, old : DataFrame
        A line per position (in order), and per old id; standardised columns, of which those in
        common, and known of all segments, are compared.
    minted : int
        How many ids were ever minted.
    """
    common = [name for name in old.columns if name in new.columns]
    complete = [name for name in common if old[name].notna().all() and new[name].notna().all()]
    before, after = old[complete].to_numpy(float), new[complete].to_numpy(float)
    distances = cdist(after, before) if complete else np.full((len(new), len(old)), np.inf)
    nearest = pdist(before).min() if complete and len(old) > 1 else 0.0
    pairs = _pairs(distances, distances <= nearest / 2)
    return _named(pairs, len(new), list(old.index), minted)


def transitions(previous_ids: np.ndarray, current_ids: np.ndarray) -> list[dict[str, Any]]:
    """What became of the segments: survival, merge, split, death, birth, in this order.

    After Spiliopoulou et al. 2006 (MONIC, section 3.2, external transitions). A segment of which
    two or more parts of `SPLIT_OFF` are found has split; else one that holds `SURVIVED` of it is
    its heir, and of two or more segments their merge; else it has died. What is nobody's heir and
    no part was born.

    Parameters
    ----------
    previous_ids, current_ids : ndarray of object, (n_customers,)
        Two ids per shared customer; where one is null the customer is left out.

    Returns
    -------
    list of dict
        `kind`, `from` and `to` (ids), and `overlap`: the share of the customers of `from` who are
        in `to`.
    """
    known = pd.notna(previous_ids) & pd.notna(current_ids)
    then, old = pd.factorize(np.asarray(previous_ids, dtype=object)[known], sort=True)
    now, new = pd.factorize(np.asarray(current_ids, dtype=object)[known], sort=True)
    both = _overlaps(then, now, len(old), len(new))
    heirs = [_heirs(row) for row in both]
    claimed = {heir for found in heirs for heir in found}
    sources = [[row for row, found in enumerate(heirs) if found == [heir]] for heir in claimed]
    told = [
        *((one, heirs[one[0]]) for one in sources if one),
        *(([row], found) for row, found in enumerate(heirs) if len(found) != 1),
        *(([], [born]) for born in range(len(new)) if born not in claimed),
    ]
    lines = [
        {
            "kind": _kind(len(before), len(after)),
            "from": [str(old[row]) for row in before],
            "to": [str(new[column]) for column in after],
            "overlap": _share_in(both, before, after),
        }
        for before, after in told
    ]
    return sorted(lines, key=lambda line: (KINDS.index(line["kind"]), line["from"], line["to"]))


KINDS = ("survival", "merge", "split", "death", "birth")


def _kind(before: int, after: int) -> str:
    if not before or not after:
        return "death" if before else "birth"
    if after > 1:
        return "split"
    return "merge" if before > 1 else "survival"


def _heirs(counts: np.ndarray) -> list[int]:
    """Where the customers of one segment went, if they went somewhere together."""
    size = counts.sum()
    parts = np.flatnonzero(counts >= SPLIT_OFF * size)
    if len(parts) > 1:
        return [int(part) for part in parts]
    largest = int(counts.argmax())
    return [largest] if counts[largest] >= SURVIVED * size else []


def _share_in(both: np.ndarray, before: list[int], after: list[int]) -> float:
    if not before or not after:
        return 0.0
    return float(both[np.ix_(before, after)].sum() / both[before].sum())


def _overlaps(rows: np.ndarray, columns: np.ndarray, n_rows: int, n_columns: int) -> np.ndarray:
    """Customers in each pair of segments, (n_rows, n_columns)."""
    flat = np.bincount(rows * n_columns + columns, minlength=n_rows * n_columns)
    return flat.reshape(n_rows, n_columns)


def _pairs(cost: np.ndarray, admissible: np.ndarray) -> dict[int, int]:
    """Row -> column of the cheapest assignment among the admissible pairs.

    What is not admissible costs more than all that is, or a few small overlaps together would
    outbid the one overlap by which an id is inherited.
    """
    dearest = cost[admissible].sum() + 1
    rows, columns = linear_sum_assignment(np.where(admissible, cost, dearest))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {row: column for row, column in pairs if admissible[row, column]}


def _named(pairs: dict[int, int], k: int, old: list[str], minted: int) -> Matched:
    highest = max(map(_number, old), default=0)
    if highest > minted:
        raise ValueError(f"segment {segment_id(highest)} is known, but {minted} ids were minted")
    free = iter(range(minted + 1, minted + k + 1))
    ids = [str(old[pairs[at]]) if at in pairs else segment_id(next(free)) for at in range(k)]
    born = [ids[at] for at in range(k) if at not in pairs]
    return Matched(ids, born, sorted_ids(set(old) - set(ids)), [])


def sorted_ids(ids: Iterable[str]) -> list[str]:
    """Ids in the order in which they were minted: S99 before S100."""
    return sorted(map(str, ids), key=_number)


def _number(id_: str) -> int:
    return int(id_[1:])
