"""Scoring with what the segment store holds: the current model, its names, who was forgotten."""

from pathlib import Path
from typing import Any

import pandas as pd

from expectations.contract import Contract
from expectations.errors import InputError
from tasks.fetching import Fetched, fetch, fetched_table
from tasks.ingestion import resolve_uri
from tasks.querying import fetch_query
from tasks.scoring import OnProgress, Scorer, score_source
from tasks.source import SourceOptions


def score_published(
    source: SourceOptions,
    month: pd.Period,
    contract: Contract,
    store_url: str,
    output: Path,
    on_progress: OnProgress,
    password: str | None = None,
) -> dict[str, Any]:
    """Assign the customers of a source with the published model; only `output` is written.

    Parameters
    ----------
    source : SourceOptions
        File, URL, `sample` or a database with a query.
    month : Period
        What `{month}` and `:month` stand for.
    contract : Contract
        That of the source; the model must belong to it.
    store_url : str
        The segment store.
    output : Path
        A .parquet or .csv file.
    on_progress : callable
        Is called with how far the source was read and how far it goes.
    password : str, optional
        Of a database as source.

    Returns
    -------
    dict
        `run_id` (whose model assigned), `month`, and what `tasks.scoring.score_source` tells.

    Raises
    ------
    InputError
        Where nothing is published, the model is refused, or the source or output cannot be used.
    """
    run_id, scorer = published_scorer(store_url, contract)
    fetched = fetch_source(source, month, password)
    told = score_source(fetched, scorer, source, output, on_progress)
    return {"run_id": run_id, "month": str(month), **told}


def published_scorer(store_url: str, contract: Contract) -> tuple[str, Scorer]:
    """The current publication's run, and what scores with its model."""
    from tasks import erasing, published
    from tasks.modelfile import unpack
    from tasks.store import open_store

    store = open_store(store_url)
    run_id = published.current(store)
    if run_id is None:
        raise InputError(
            f"nothing is published in the store {store.database.shown}, so there is no model to "
            "score with. `resegment run` publishes a month; --store names another store."
        )
    stored = published.model_of(store, run_id)
    model = unpack(stored, contract)
    segments = published.segments_of(store, run_id)
    names = dict(zip(segments["segment_id"], segments["name"], strict=True))
    ids = tuple(stored.segment_ids)
    return run_id, Scorer(contract, model, ids, names, erasing.forgotten(store))


def fetch_source(source: SourceOptions, month: pd.Period, password: str | None) -> Fetched:
    """The source's content, whatever it is."""
    if source.uri == "sample":
        from tasks.sample import draw_month

        return fetched_table(draw_month(source.rows, month, 0).table, "sample")
    uri = resolve_uri(source.uri, month)
    return fetch_query(uri, source.query, month, password) if source.query else fetch(uri)
