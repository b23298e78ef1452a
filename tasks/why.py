"""Why one customer is in its segment, and which is next: for the operator's own eyes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from expectations.contract import Contract
from expectations.errors import InputError
from tasks.reasons import meaning_of, value_in_words
from tasks.tracking import SURE

# The confidence is the chance that a refit on other customers agrees. From .98 on refits hardly
# ever differ (6 % of the reference table lie below); `SURE` is also the border by which a move is
# put down to chance; below .6 it is little better than a coin.
NEARLY_CERTAIN, MORE_THAN_CHANCE = 0.98, 0.6
MOST_TO_OWN, MOST_TO_OTHER = 3, 2
LEAST_PULL = 0.05  # of the strongest: weaker ones are not told


def why(
    customer: str,
    clean: pd.DataFrame,
    scaled: pd.DataFrame,
    segments: pd.DataFrame,
    names: Mapping[str, str],
    contract: Contract,
    id_column: str,
    whose: str,
) -> dict[str, Any]:
    """Say why a customer is in its segment, and what speaks for the next one.

    A feature's pull is its part of d2 squared - d1 squared: the distances to the runner-up's mean
    and to the own segment's, in the scaled space.

    Parameters
    ----------
    customer : str
        The customer's id.
    clean, scaled, segments : DataFrame
        The stages: the same customers in the same order.
    names : mapping
        The name of each segment.
    contract : Contract
        Says what each column measures.
    id_column : str
        Name of the id.
    whose : str
        Whose segments they are, champion or challenger.

    Returns
    -------
    dict
        JSON values: `segment`, `runner_up` (null where there is none) and their names,
        `confidence` (null where unknown) and `how_sure` in words, what pulls `towards` the
        segment and `away` from it (`column, value, median, runner_up_median, pull, says`), and
        `says`, all of it for people. Raises `InputError` where nobody has this id.
    """
    place = _place_of(customer, segments[id_column])
    labels = segments[f"{whose}_segment"].to_numpy(object)
    own, other = str(labels[place]), segments[f"{whose}_runner_up"].iloc[place]
    other = str(other) if other in set(labels) - {own} else None  # nobody there: no mean either
    confidence = float(segments[f"{whose}_confidence"].iloc[place])
    known = None if np.isnan(confidence) else confidence
    between = () if other is None else (own, other)
    reasons = _reasons(
        place, clean, scaled.drop(columns=id_column), labels, between, names, contract
    )
    least = LEAST_PULL * max((abs(one["pull"]) for one in reasons), default=0.0)
    told = {
        "segment": own,
        "name": names.get(own, own),
        "runner_up": other,
        "runner_up_name": names.get(other, other) if other else None,
        "confidence": known,
        "how_sure": how_sure(known),
        "towards": [one for one in reasons if one["pull"] > least][:MOST_TO_OWN],
        "away": [one for one in reasons[::-1] if one["pull"] < -least][:MOST_TO_OTHER],
    }
    return {**told, "says": _says(told)}


def pulls(X: np.ndarray, labels: np.ndarray, place: int, own: str, other: str) -> np.ndarray:
    """Each feature's part of d2 squared - d1 squared, (n_features,); above 0 it pulls to `own`.

    X is (n_customers, n_features); the distances are those of its row `place` to the mean rows of
    the two segments.
    """
    to_own, to_other = ((X[place] - X[labels == of].mean(axis=0)) ** 2 for of in (own, other))
    return to_other - to_own


def how_sure(confidence: float | None) -> str:
    """A confidence in words."""
    if confidence is None:
        return "unknown"
    if confidence >= NEARLY_CERTAIN:
        return "nearly certain"
    if confidence >= SURE:
        return "likely"
    return "on the border" if confidence >= MORE_THAN_CHANCE else "a toss-up"


def _place_of(customer: str, ids: pd.Series) -> int:
    found = np.flatnonzero(ids.to_numpy(object) == customer)
    if not len(found):
        raise InputError(
            f"no customer {customer} in the segments. Ids are compared letter by letter; "
            "customers who objected are kept nowhere."
        )
    return int(found[0])


def _reasons(
    place: int,
    clean: pd.DataFrame,
    X: pd.DataFrame,
    labels: np.ndarray,
    between: Sequence[str],
    names: Mapping[str, str],
    contract: Contract,
) -> list[dict[str, Any]]:
    """Every feature with its pull, the strongest towards the first of two segments first."""
    if not between:
        return []
    pulled = pulls(X.to_numpy(), labels, place, *between)
    features = clean[list(X.columns)].astype(float)
    medians = [features[labels == of].median() for of in between]
    called = [names.get(of, of) for of in between]
    customer = features.iloc[place]
    lines = []
    for at in np.argsort(-pulled, kind="stable"):
        name = str(X.columns[at])
        numbers = [float(one.iloc[at]) for one in (customer, *medians)]
        told = [value_in_words(number, contract, name) for number in numbers]
        value, median, other_median = (None if np.isnan(one) else one for one in numbers)
        lines.append(
            {
                "column": name,
                "value": value,
                "median": median,
                "runner_up_median": other_median,
                "pull": float(pulled[at]),
                "says": f"{meaning_of(name, contract)}: {told[0]}; "
                f"median {told[1]} in {called[0]}, {told[2]} in {called[1]}",
            }
        )
    return lines


def _says(told: Mapping[str, Any]) -> str:
    """Two or three sentences."""
    sure = "How sure this is is not known"
    if told["confidence"] is not None:
        agree = f"about {told['confidence']:.0%} of refits on other customers agree"
        sure = f"This is {told['how_sure']}: {agree}"
    sentences = [f"In {told['name']}{_for(told['towards'])}", sure]
    if told["runner_up"]:
        sentences.append(f"Next would be {told['runner_up_name']}{_for(told['away'])}")
    return " ".join(f"{one}." for one in sentences)


def _for(reasons: Sequence[Mapping[str, Any]]) -> str:
    """The reasons as the end of a sentence: what is measured, and the customer's value."""
    words = [str(one["says"]).rpartition("; median ")[0].replace(": ", " ", 1) for one in reasons]
    if not words:
        return ""
    *most, last = words
    return f", for {', '.join(most)} and {last}" if most else f", for {last}"
