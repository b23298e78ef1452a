"""Who belongs to which segment: the champion's answer, the challenger's, and the one proposed."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from expectations.contract import Contract
from tasks.drift import profiles_of
from tasks.kmeans import by_falling_size, inertia, near_champion, published_kmeans
from tasks.matching import Matched, match_profiles, match_segments
from tasks.model import Assigned, SegmentModel
from tasks.outcome import Outcome
from tasks.seeds import child_seed
from tasks.typicality import TypicalityOptions, fit_typicality

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

CHAMPION, CHALLENGER = "champion", "challenger"
FEW_SHARED = 0.2  # of the customers: below it segments are matched by what they are like
# The champion's segment ids by position, how many ids were ever minted, and whose is proposed.
FIRST: Mapping[str, Any] = MappingProxyType({"ids": [], "minted": 0, "whose": CHALLENGER})


def cluster_customers(
    embedding: pd.DataFrame,
    scaled: pd.DataFrame,
    id_column: str,
    scaler: "Pipeline",
    embedder: Any,
    curve: pd.DataFrame,
    chosen: Mapping[str, Any],
    typicality: TypicalityOptions,
    seed: int,
    clean: pd.DataFrame,
    champion: SegmentModel | None = None,
    previous: pd.DataFrame | None = None,
    lineage: Mapping[str, Any] = FIRST,
    reference: Mapping[str, Any] | None = None,
    contract: Contract | None = None,
) -> Outcome:
    """Fit the challenger, assign every customer by it and by the champion, and match their ids.

    Parameters
    ----------
    embedding : DataFrame
        The id and the coordinates, (n_customers, 1 + n_dimensions).
    scaled : DataFrame
        The id and the features, (n_customers, 1 + n_features): the reference space.
    id_column : str
        Name of the id.
    scaler, embedder : Pipeline, transformer
        The fitted steps before K-means.
    curve : DataFrame
        From distances to confidence, (n_bends, 2).
    chosen : mapping
        `k` and `space` of the chosen candidate, its `metrics`, and those of the `champion`.
    typicality : TypicalityOptions
        The judge of customers who fit nowhere.
    seed : int
        The run's seed.
    clean : DataFrame
        The same customers with the contract's columns, for the champion.
    champion : SegmentModel, optional
        The published model.
    previous : DataFrame, optional
        The assignments compared with; they give the ids where no champion can assign.
    lineage : mapping
        The champion's `ids` by position, how many ids were `minted`, and `whose` is proposed.
    reference, contract : mapping, Contract, optional
        The segments as they were last month, and the contract by which they compare: they give
        the ids where no champion can assign and few customers are shared.

    Returns
    -------
    Outcome
        `table` is the segments stage: segment, confidence, runner-up and whether the customer is
        typical, and the first three of champion and of challenger; `learned` the challenger, one
        pipeline from a customer's columns to the segment's position; `log` the ids by position,
        which were born and retired, the yardsticks, and the share of customers that fit nowhere.
    """
    Z = embedding.drop(columns=id_column).to_numpy()  # (n_customers, n_dimensions)
    X = scaled.drop(columns=id_column).to_numpy()  # (n_customers, n_features)
    customers = embedding[id_column]
    by_champion = _assigned_by(champion, clean, lineage["ids"], customers)
    fitted = published_kmeans(Z, chosen["k"], seed, chosen["space"])
    if champion is not None:
        fitted = near_champion(fitted, Z, by_champion["segment"].to_numpy())
    kmeans = by_falling_size(fitted, Z)
    judge = fit_typicality(X, typicality, child_seed(seed, "typicality"))
    model = assemble(scaler, embedder, kmeans).with_judgement(curve, judge)
    assigned = model.assign_at(Z)
    known = by_champion["segment"] if champion is not None else _known(previous, customers)
    if reference and contract and champion is None and known.notna().mean() < FEW_SHARED:
        # padded: a line per position, in their order
        labels = pd.Series(assigned.segment, index=clean.index).map("{:03d}".format)
        matched = match_profiles(
            *profiles_of(reference, clean, contract, labels), lineage["minted"]
        )
    else:
        matched = match_segments(
            assigned.segment, known.to_numpy(object), chosen["k"], lineage["minted"]
        )
    by_challenger = _named(assigned, matched.ids)
    judged_by = judge.predict(X) == 1 if champion is None else champion.is_typical(clean)
    log = {
        **_lineage_log(matched, lineage, champion),
        "metrics": _metrics(chosen, lineage["whose"], (kmeans, Z), (champion, clean)),
        "untypical_share": float(1 - judged_by.mean()),
    }
    table = _table(customers, by_champion, by_challenger, lineage["whose"], judged_by)
    return Outcome(table, {"model.skops": model}, log | _smallest(table, log))


def assign_by_champion(
    embedding: pd.DataFrame,
    id_column: str,
    chosen: Mapping[str, Any],
    clean: pd.DataFrame,
    champion: SegmentModel,
    lineage: Mapping[str, Any],
) -> Outcome:
    """The segments stage of a month without a challenger; its parameters as above."""
    customers = embedding[id_column]
    by_champion = _assigned_by(champion, clean, lineage["ids"], customers)
    typical = champion.is_typical(clean)
    log = {
        "ids": list(lineage["ids"]),
        "champion_ids": list(lineage["ids"]),
        "challenger_ids": None,
        "born": [],
        "retired": [],
        "jaccards": [],
        "metrics": _metrics(chosen, CHAMPION, None, (champion, clean)),
        "untypical_share": float(1 - typical.mean()),
    }
    table = _table(customers, by_champion, _nobody(customers), CHAMPION, typical)
    return Outcome(table, log=log | _smallest(table, log))


def segment_ids(k: int) -> list[str]:
    """The first k ids that are ever minted: S01, S02 ... by falling size."""
    return [f"S{position:02d}" for position in range(1, k + 1)]


def assemble(scaler: "Pipeline", embedder: Any, kmeans: KMeans) -> SegmentModel:
    """One scikit-learn pipeline: impute, transform, scale, embed, K-means."""
    return SegmentModel([*scaler.steps, ("embed", embedder), ("kmeans", kmeans)])


def _table(
    customers: pd.Series,
    by_champion: pd.DataFrame,
    by_challenger: pd.DataFrame,
    whose: str,
    typical: np.ndarray,
) -> pd.DataFrame:
    proposed = by_champion if whose == CHAMPION else by_challenger
    return pd.concat(
        [
            customers.reset_index(drop=True),
            proposed,
            by_champion.add_prefix("champion_"),
            by_challenger.add_prefix("challenger_"),
            pd.Series(typical, name="typical"),
        ],
        axis=1,
    )


def _assigned_by(
    champion: SegmentModel | None,
    clean: pd.DataFrame,
    ids: Sequence[str],
    customers: pd.Series,
) -> pd.DataFrame:
    if champion is None:
        return _nobody(customers)
    return _named(champion.assign(clean), ids)


def _named(assigned: Assigned, ids: Sequence[str]) -> pd.DataFrame:
    names = np.array(list(ids), dtype=object)
    return _assignment(names[assigned.segment], names[assigned.runner_up], assigned.confidence)


def _nobody(customers: pd.Series) -> pd.DataFrame:
    nothing = np.full(len(customers), None, dtype=object)
    return _assignment(nothing, nothing, np.full(len(customers), np.nan))


def _assignment(segment: np.ndarray, runner_up: np.ndarray, confidence: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "segment": pd.array(segment, dtype="str"),
            "confidence": confidence,
            "runner_up": pd.array(runner_up, dtype="str"),
        }
    )


def _known(previous: pd.DataFrame | None, customers: pd.Series) -> pd.Series:
    """The segments in which these customers were, where it is known."""
    if previous is None:
        return pd.Series(None, index=customers.index, dtype=object)
    return customers.map(previous.set_index("customer_id")["segment_id"])


def _lineage_log(
    matched: Matched, lineage: Mapping[str, Any], champion: SegmentModel | None
) -> dict[str, Any]:
    champion_ids = list(lineage["ids"]) if champion is not None else None
    proposes = lineage["whose"] == CHALLENGER
    return {
        "ids": list(matched.ids) if proposes else champion_ids,
        "champion_ids": champion_ids,
        "challenger_ids": list(matched.ids),
        "born": list(matched.born),
        "retired": list(matched.retired),
        "jaccards": [None if np.isnan(j) else round(float(j), 4) for j in matched.jaccards],
    }


def _metrics(
    chosen: Mapping[str, Any],
    whose: str,
    challenger: tuple[KMeans, np.ndarray] | None,
    champion: tuple[SegmentModel | None, pd.DataFrame],
) -> dict[str, Any]:
    """The yardsticks of the model that is proposed; the inertia over all customers."""
    model, clean = champion
    if whose == CHAMPION and model is not None:
        Z = np.asarray(model[:-1].transform(clean), float)  # (n_customers, n_dimensions)
        return {**chosen["champion"]["metrics"], "inertia": inertia(model[-1], Z)}
    if challenger is None:
        raise ValueError("a month without a challenger is the champion's")
    return {**chosen["metrics"], "inertia": inertia(*challenger)}


def _smallest(table: pd.DataFrame, log: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics with the smallest share over all customers: 0 where nobody is in a segment."""
    sizes = table["segment"].value_counts().reindex(log["ids"], fill_value=0)
    share = float(sizes.min() / len(table))
    return {"metrics": {**log["metrics"], "smallest_share": share}}
