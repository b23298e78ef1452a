"""Small months that are ready to be published, for tests of the segment store."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from tasks.modelfile import StoredModel
from tasks.order import Base
from tasks.published import base_for, minted
from tasks.publishing import Publication
from tasks.store import Store

AT = "2026-11-02T06:00:00+00:00"


def month_of(text: str) -> pd.Period:
    return pd.Period(text, "M")


def model_called(content: str, segment_ids: tuple[str, ...] = ("S01", "S02")) -> StoredModel:
    """A model whose bytes are this text."""
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    return StoredModel(
        sha256, content.encode(), segment_ids, ("BALANCE",), "f" * 64, {"scikit-learn": "1.9"},
        "none", len(segment_ids), "2026-01-aaaaaaaa",
    )  # fmt: skip


def assigned(n_customers: int, segment_ids: tuple[str, ...], month: str) -> pd.DataFrame:
    """Customers in no order, spread evenly; the last one is not assessed and in no segment."""
    rng = np.random.default_rng(n_customers)
    numbers = rng.permutation(n_customers)
    segments = pd.Series(np.array(segment_ids)[numbers % len(segment_ids)], dtype=object)
    is_last = numbers == n_customers - 1
    table = pd.DataFrame(
        {
            "customer_id": [f"C{number:07d}" for number in numbers],
            "segment_id": segments.mask(is_last, None),
            "confidence": np.where(is_last, np.nan, 0.5 + rng.random(n_customers) / 2),
            "runner_up": segments.mask(is_last, None),
            "status": np.where(is_last, "not_assessed", "stayed"),
            "cause": None,
            "previous": segments,
            "since": "2025-12",
            "assessed": np.where(is_last, "2025-12", month),
            "value": rng.random(n_customers) * 1000,
            "row_hash": rng.integers(-(2**63), 2**63 - 1, n_customers),
            "next_product": None,
        }
    )
    texts = [name for name in table if name not in ("confidence", "value", "row_hash")]
    return table.astype(dict.fromkeys(texts, "str"))


def publication_of(
    store: Store,
    month: str,
    run_id: str | None = None,
    n_customers: int = 50,
    base: Base | None = None,
    born: int = 0,
    **facts: Any,
) -> Publication:
    """A month that rests on the store as it is now, with two new ids in the first."""
    first = minted(store)
    n_born = born if first else 2
    ids = [f"S{number:02d}" for number in range(1, first + n_born + 1)]
    kept = (*ids[:2], *ids[first:][: n_born if first else 0])
    base = base or base_for(store, month_of(month))
    rows = assigned(n_customers, kept, month)
    sizes = rows["segment_id"].value_counts()
    segments = pd.DataFrame(
        {
            "segment_id": sizes.index,
            "size": sizes.to_numpy(),
            "share": sizes.to_numpy() / n_customers,
            "name": [f"Group {one}" for one in sizes.index],
            "profile": [{"BALANCE": {"median": np.float64(12.5), "lost": np.nan}} for _ in sizes],
        }
    )
    migration = pd.DataFrame(
        {"previous": ["S01", None], "was_assessed": [True, None], "segment": ["S01", "S02"],
         "status": ["stayed", "joined"], "customers": [3, 2],
         "value_before": [1.5, np.nan], "value_now": [2.5, 4.0]}
    )  # fmt: skip
    return Publication(
        facts={
            "run_id": run_id or f"{month}-{base.replaces or 'first'}"[:64], "month": month,
            "origin": store.origin, "model": "champion", "published_at": AT,
            "rows": {"kept": np.int64(n_customers)}, "metrics": {"silhouette": np.nan}, **facts,
        },
        base=base, model=model_called(f"model of {kept}", kept), segments=segments,
        assignments=rows, migration=migration,
        born=[(one, {"centre": [1.0, 2.0]}) for one in ids[first:]],
    )  # fmt: skip
