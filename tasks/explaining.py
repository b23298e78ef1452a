"""Why the segments are what they are: reasons, rules, products and maps of a published month."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from expectations.contract import Contract
from tasks.cards import MOVES
from tasks.maps import Coordinates, map_cells, map_centres, network_map, principal_map
from tasks.outcome import Outcome
from tasks.products import product_use, without_care
from tasks.reasons import differences, disparities, in_words
from tasks.segment_rules import explain_by_rules
from tasks.small_counts import hidden


def reasons_of(
    segments: pd.DataFrame, clean: pd.DataFrame, contract: Contract, whose: str, min_cell: int
) -> pd.DataFrame:
    """`reasons.differences` with each one in words, `says`; of segments that may be told of."""
    segment = published_segment(segments, clean, whose)
    sizes = segment.value_counts()
    found = differences(segment, clean, contract)
    found = found[found["segment"].map(sizes) >= min_cell]
    return found.assign(says=[in_words(one, contract) for one in _lines(found)])


def disparities_of(
    segments: pd.DataFrame, clean: pd.DataFrame, contract: Contract, whose: str, min_cell: int
) -> pd.DataFrame:
    """`reasons.disparities` of the published segments."""
    return disparities(published_segment(segments, clean, whose), clean, contract, min_cell)


def rules_of(
    segments: pd.DataFrame,
    clean: pd.DataFrame,
    contract: Contract,
    whose: str,
    min_cell: int,
    seed: int,
) -> dict[str, Any]:
    """`segment_rules.explain_by_rules` as JSON values."""
    segment = published_segment(segments, clean, whose)
    made = explain_by_rules(segment, clean, contract, seed, min_cell)
    rules = made.rules.astype(object).where(made.rules.notna(), None)
    return {"rules": rules.to_dict("records"), "accuracy": made.accuracy, "depth": made.depth}


def use_of(
    segments: pd.DataFrame, clean: pd.DataFrame, contract: Contract, whose: str, min_cell: int
) -> pd.DataFrame:
    """`products.product_use` of the published segments."""
    return product_use(published_segment(segments, clean, whose), clean, contract, min_cell)


def offers_by_segment(
    offers: pd.DataFrame, segments: pd.DataFrame, publication: pd.DataFrame, whose: str
) -> pd.DataFrame:
    """How many of each segment are offered which product: `segment, product, customers`."""
    segment = published_segment(segments, offers, whose)
    offered = without_care(offers, segment, publication.loc[publication["care"], "segment"])
    counts = offered.assign(segment=segment).groupby(["segment", "next_product"]).size()
    return counts.rename("customers").rename_axis(["segment", "product"]).reset_index()


def published_segment(segments: pd.DataFrame, like: pd.DataFrame, whose: str) -> pd.Series:
    """The published segment of each customer, on the index of another table of the same ones."""
    return segments[f"{whose}_segment"].set_axis(like.index)


def profiles_told(publication: pd.DataFrame, min_cell: int) -> pd.DataFrame:
    """The publication stage without the numbers of segments that are too small to be told of.

    Nor those of a second one, where the total would give the small one away.
    """
    sizes = publication.set_index("segment")[["size"]]
    is_hidden = hidden(sizes, min_cell, row_totals=False)["size"].to_numpy()
    numbers = publication.select_dtypes("number").drop(columns=[*MOVES, "colour"])
    return publication.assign(**{str(one): numbers[one].mask(is_hidden) for one in numbers})


def _lines(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): one for name, one in line.items()} for line in table.to_dict("records")]


def map_of_components(
    scaled: pd.DataFrame,
    segments: pd.DataFrame,
    features: Sequence[str],
    whose: str,
    min_cell: int,
) -> Outcome:
    """Where the segments lie on two principal components; `log` has what a picture says of it."""
    placed = principal_map(scaled, features)
    return _map(placed, published_segment(segments, scaled, whose), min_cell)


def map_of_network(
    scaled: pd.DataFrame,
    segments: pd.DataFrame,
    features: Sequence[str],
    whose: str,
    min_cell: int,
    seed: int,
) -> Outcome:
    """The same on the two numbers of an autoencoder's code."""
    placed = network_map(scaled, features, seed)
    return _map(placed, published_segment(segments, scaled, whose), min_cell)


def _map(placed: Coordinates, segment: pd.Series, min_cell: int) -> Outcome:
    centres = map_centres(placed.Z, segment, min_cell)
    told = {"explained": list(placed.explained), "centres": centres.to_dict("records")}
    return Outcome(map_cells(placed.Z, segment, min_cell), log=told)
