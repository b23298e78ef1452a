"""Assign customers with a stored model, block by block; nothing is fitted.

A first pass sees ids and objections only, so that doubled ids and objecting customers are known
wherever they stand. Memory holds one block, and 8 to 24 bytes for each row of the source.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from expectations.contract import Contract
from expectations.errors import GateError, InputError
from expectations.rules import UNREADABLE, row_rules
from tasks import keeping
from tasks.blocks import Blocks, in_blocks
from tasks.cells import read_id
from tasks.fetching import Fetched
from tasks.ingestion import Forgotten, forgotten_among, nobody_forgotten, own_objections, to_frame
from tasks.model import SegmentModel
from tasks.opening import nobody
from tasks.source import SourceOptions
from tasks.tablefile import TableFile

REASONS = "_reasons"
OnProgress = Callable[[int, int], None]


class Scorer(NamedTuple):
    """What scoring rests on: a contract, and a model with the id and name of each position."""

    contract: Contract
    model: SegmentModel
    ids: tuple[str, ...]
    names: Mapping[str, str]
    is_forgotten: Forgotten = nobody_forgotten


class Survey(NamedTuple):
    """What only the whole source tells: its rows; hashes, sorted, of ids doubled and objecting."""

    rows: int
    doubled: np.ndarray
    objecting: np.ndarray


def score_source(
    fetched: Fetched,
    scorer: Scorer,
    options: SourceOptions,
    output: Path,
    on_progress: OnProgress = lambda done, total: None,
) -> dict[str, Any]:
    """Write segment, runner-up, confidence and typicality of every customer to `output`.

    Rows that break a rule of the contract go to `<stem of output>.quarantine.parquet` with
    `_row` and `_reasons`; customers who object or were forgotten are in neither file.

    Parameters
    ----------
    fetched : Fetched
        The source.
    scorer : Scorer
        Contract and model; `is_forgotten` takes ids and gives a mask, (n_customers,).
    options : SourceOptions
        How a text file is written, where it cannot be told.
    output : Path
        A .parquet or .csv file.
    on_progress : callable
        Is called with how far the source was read and how far it goes.

    Returns
    -------
    dict
        `output`, `quarantine` ("" where no row was set aside), `rows` (source, scored,
        quarantined, objected), `segments` (id, name, size, share), `untypical`, `reasons`
        (rule -> rows), `left_out` (headers that the contract does not know).

    Raises
    ------
    InputError
        Where no table with the contract's columns can be formed, or the output is no table file.
    GateError
        Where every row was set aside; the quarantine is written.
    """
    aside = output.with_name(f"{output.stem}.quarantine.parquet")
    source = Path(fetched.name.removeprefix("file://")).expanduser().resolve()
    if source in (output.resolve(), aside.resolve()):
        raise InputError(f"--output {output}: this would replace the source. Give another file.")
    with TableFile(output) as scored, TableFile(aside) as quarantine:
        blocks = in_blocks(fetched, scorer.contract, options)
        tally = Tally(scorer, survey(blocks, scorer.contract))
        with keeping.outside(str(output.parent), "or choose another folder"):
            _write(blocks, tally, scored, quarantine, on_progress)
    if not scored.rows:
        raise GateError(
            f"{blocks.name}: all {quarantine.rows:,} rows break a rule, so nobody was scored. The "
            f"refused rows, with reasons, are in {aside}. Fix the extract."
        )
    return {
        "output": str(output),
        "quarantine": str(aside) if quarantine.rows else "",
        **tally.counts(scored.rows, quarantine.rows),
        "left_out": blocks.log["left_out"],
    }


def _write(
    blocks: Blocks,
    tally: "Tally",
    scored: TableFile,
    quarantine: TableFile,
    on_progress: OnProgress,
) -> None:
    """Score block after block; what is whole at the end is put where it belongs."""
    contract = tally.scorer.contract
    for cells, upto in blocks.read((contract.id.column, *contract.kept, *contract.objections)):
        good, broken = tally.block(cells, blocks.decimal)
        if good.num_rows:
            scored.write(good)
        if broken.num_rows:
            quarantine.write(broken)
        on_progress(upto, blocks.size)
    if tally.objected == tally.known.rows:
        raise InputError(f"{blocks.name}: {nobody(tally.objected, contract)}")
    quarantine.finish()
    if scored.rows:
        scored.finish()


def survey(blocks: Blocks, contract: Contract) -> Survey:
    """Look through the ids of a source, for doubled ones and for those of who objects."""
    every, objecting = [], []
    rows = 0
    for cells, _ in blocks.read((contract.id.column, *contract.objections)):
        hashes, is_id = hash_ids(read_id(cells[contract.id.column]).values)
        every.append(hashes[is_id])
        objecting.append(hashes[is_id & own_objections(cells, contract)])
        rows += cells.num_rows
    if not rows:
        raise InputError(f"{blocks.name}: {nobody(0, contract)}")
    hashes = np.concatenate(every)
    every.clear()
    hashes.sort()
    doubled = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    return Survey(rows, doubled, np.unique(np.concatenate(objecting)))


def hash_ids(ids: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Eight bytes per id, (n_rows,), and whether there is one at all.

    Two ids have the same hash about once in 400,000 tables of ten million customers; both are
    set aside as doubled then, and nobody gets another's segment.
    """
    is_id = ids.is_valid().to_numpy()
    hashes = np.zeros(len(is_id), np.uint64)
    texts = ids.drop_null().to_pandas().to_numpy(object)
    hashes[is_id] = pd.util.hash_array(texts, categorize=False)
    return hashes, is_id


class Tally:
    """Scores blocks, and counts."""

    def __init__(self, scorer: Scorer, known: Survey) -> None:
        self.scorer = scorer
        self.known = known
        self.rules = [r for r in row_rules(scorer.contract) if r.severity == "set_aside"]
        self.objected = 0
        self.untypical = 0
        self.sizes = np.zeros(len(scorer.ids), int)
        self.reasons: Counter[str] = Counter()

    def block(self, cells: pa.Table, decimal: str) -> tuple[pa.Table, pa.Table]:
        """Score a block's customers; the second table has the rows set aside."""
        contract = self.scorer.contract
        ids = read_id(cells[contract.id.column]).values
        hashes, is_id = hash_ids(ids)
        objecting = own_objections(cells, contract)
        objecting |= is_id & np.isin(hashes, self.known.objecting)
        objecting |= forgotten_among(ids, self.scorer.is_forgotten)
        self.objected += int(objecting.sum())
        doubled = (is_id & np.isin(hashes, self.known.doubled))[~objecting]
        raw = to_frame(cells.filter(pa.array(~objecting)), contract, decimal)
        reasons = self._reasons(raw, doubled)
        broken = raw.assign(**{REASONS: reasons})[reasons != ""]
        good = raw[reasons == ""].drop(columns=UNREADABLE)
        return self._assigned(good), pa.Table.from_pandas(broken, _quarantine_schema(broken), False)

    def _reasons(self, raw: pd.DataFrame, doubled: np.ndarray) -> np.ndarray:
        """The ids of all rules that a row breaks, "" where it breaks none, (n_rows,)."""
        reasons = np.full(len(raw), "", object)
        for rule in self.rules:
            broken = doubled if rule.test == "unique" else rule.broken(raw).to_numpy(bool)
            if broken.any():
                self.reasons[rule.id] += int(broken.sum())
                reasons[broken] += f", {rule.id}"
        return np.array([text.removeprefix(", ") for text in reasons], object)

    def _assigned(self, good: pd.DataFrame) -> pa.Table:
        model, ids = self.scorer.model, self.scorer.ids
        if good.empty:
            return pa.table({})
        found, typical = model.assign(good), model.is_typical(good)
        self.sizes += np.bincount(found.segment, minlength=len(ids))
        self.untypical += int((~typical).sum())
        names = [self.scorer.names.get(one, one) for one in ids]
        return pa.table(
            {
                self.scorer.contract.id.column: pa.array(good.iloc[:, 0], pa.string()),
                "segment": pa.array(np.array(ids, object)[found.segment], pa.string()),
                "name": pa.array(np.array(names, object)[found.segment], pa.string()),
                "confidence": found.confidence,
                "runner_up": pa.array(np.array(ids, object)[found.runner_up], pa.string()),
                "typical": typical,
            }
        )

    def counts(self, scored: int, quarantined: int) -> dict[str, Any]:
        """What was counted, as JSON values."""
        names = self.scorer.names
        return {
            "rows": {
                "source": self.known.rows,
                "scored": scored,
                "quarantined": quarantined,
                "objected": self.objected,
            },
            "segments": [
                {"id": id_, "name": names.get(id_, id_), "size": int(n), "share": float(n / scored)}
                for id_, n in zip(self.scorer.ids, self.sizes, strict=True)
            ],
            "untypical": self.untypical,
            "reasons": dict(self.reasons.most_common()),
        }


def _quarantine_schema(broken: pd.DataFrame) -> pa.Schema:
    """The same in every block: a column of text may be all null in one."""
    text = pa.string()
    return pa.schema(
        [
            (name, text if kind == "str" or name == REASONS else pa.from_numpy_dtype(kind))
            for name, kind in broken.dtypes.astype(str).replace("boolean", "bool").items()
        ]
    )
