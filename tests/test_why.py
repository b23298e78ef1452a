"""Why a customer is in its segment: parts that add up, told with what is known and no more."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from expectations.contract import Contract
from expectations.errors import InputError
from tasks.why import how_sure, pulls, why

NAN = float("nan")
SHOP = Contract.model_validate(
    {
        "name": "shop",
        "id": {"column": "customer"},
        "columns": {
            "spend": {"kind": "money", "meaning": "money spent"},
            "visits": {"kind": "count", "meaning": "visits"},
            "back": {"kind": "share", "meaning": "share sent back", "max_null_share": 1},
            "known": {"kind": "months", "meaning": "months known"},
            "late": {"kind": "score"},
            "same": {"kind": "score"},
        },
    }
)
NAMES = {"S01": "Spenders", "S02": "Visitors"}
CLEAN = pd.DataFrame(
    {
        "customer": ["a", "b", "c", "d", "e", "f"],
        "spend": [900.0, 800, 1000, 100, 200, 300],
        "visits": [1.0, 2, 3, 40, 50, 60],
        "back": [0.5, 0.1, 0.1, 0.5, 0.5, 0.5],
        "known": [7.0, 2, 1, 9, 8, 7],
        "late": [0.0, 1, 2, 0, 1, 2],
        "same": [1.0] * 6,
    }
)
SCALED = pd.DataFrame(
    {
        "customer": CLEAN["customer"],
        "spend": [2.0, 2, 2, -2, -2, -2],
        "visits": [-1.0, -1, -1, 1, 1, 1],
        "back": [0.6, -1, -1, 1, 1, 1],
        "known": [0.5, -0.9, -0.9, 0.5, 0.5, 0.5],
        "late": [0.0, 1, -1, 0.5, 0, -0.5],
        "same": [0.0] * 6,
    }
)


def segments(**more: Any) -> pd.DataFrame:
    told = {
        "customer": CLEAN["customer"],
        "champion_segment": ["S01"] * 3 + ["S02"] * 3,
        "champion_runner_up": ["S02"] * 3 + ["S01"] * 3,
        "champion_confidence": [0.95] * 6,
        "challenger_segment": ["S02"] * 3 + ["S01"] * 3,
        "challenger_runner_up": ["S01"] * 3 + ["S02"] * 3,
        "challenger_confidence": [0.7] * 6,
    }
    return pd.DataFrame({**told, **more})


def asked(customer: str = "a", whose: str = "champion", **more: Any) -> dict[str, Any]:
    given = {"clean": CLEAN, "scaled": SCALED, **more}
    table = segments(**given.pop("stage", {}))
    return why(customer, given["clean"], given["scaled"], table, NAMES, SHOP, "customer", whose)


def test_pulls_add_up_to_the_difference_of_the_distances() -> None:
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(60, 5)), np.repeat(["S01", "S02", "S03"], 20)
    for place in (0, 25, 59):
        to_own, to_other = (
            np.linalg.norm(X[place] - X[labels == of].mean(axis=0)) for of in ("S01", "S03")
        )
        found = pulls(X, labels, place, "S01", "S03")
        assert found.shape == (5,)
        assert found.sum() == pytest.approx(to_other**2 - to_own**2)


def test_the_strongest_pull_comes_first_on_either_side() -> None:
    told = asked()
    towards, away = ([one["column"] for one in told[side]] for side in ("towards", "away"))
    assert towards == ["spend", "visits"]
    assert away == ["back", "known"]
    pulled = [one["pull"] for one in (*told["towards"], *told["away"])]
    assert pulled == pytest.approx([16, 4, 0.4**2 - (0.6 + 1.4 / 3) ** 2, -((0.5 + 1.3 / 3) ** 2)])


def test_no_more_is_told_than_three_and_two_and_nothing_weak() -> None:
    wide = SCALED.assign(late=[-1.0, -1, -1, 1, 1, 1], same=[-0.9] * 3 + [0.9] * 3)
    assert [one["column"] for one in asked(scaled=wide)["towards"]] == ["spend", "visits", "late"]
    hardly = {"visits": [-0.4] * 3 + [0.4] * 3, "same": [0.3, 0, 0, 0.3, 0.3, 0.3]}
    weak = SCALED.assign(known=[0.0] * 6, **hardly)
    told = asked(scaled=weak)
    assert [one["column"] for one in told["towards"]] == ["spend"]  # visits: .64 of 16
    assert [one["column"] for one in told["away"]] == ["back"]
    away = SCALED.assign(visits=[1.0, -1, -1, 1, 1, 1])
    assert len(asked(scaled=away)["away"]) == 2


def test_each_reason_has_the_customers_value_and_both_medians() -> None:
    first = asked()["towards"][0]
    assert (first["value"], first["median"], first["runner_up_median"]) == (900, 900, 200)
    assert first["says"] == "money spent: 900; median 900 in Spenders, 200 in Visitors"
    away = asked()["away"][0]
    assert away["says"] == "share sent back: 50%; median 10% in Spenders, 50% in Visitors"


def test_it_says_all_of_it_in_sentences() -> None:
    assert asked()["says"] == (
        "In Spenders, for money spent 900 and visits 1. "
        "This is likely: about 95% of refits on other customers agree. "
        "Next would be Visitors, for share sent back 50% and months known 7 months."
    )


def test_the_segments_are_the_champions_or_the_challengers() -> None:
    champion, challenger = asked(), asked(whose="challenger")
    assert (champion["segment"], champion["name"]) == ("S01", "Spenders")
    assert (champion["runner_up"], champion["runner_up_name"]) == ("S02", "Visitors")
    assert (challenger["segment"], challenger["runner_up_name"]) == ("S02", "Spenders")
    assert challenger["confidence"] == 0.7
    assert challenger["how_sure"] == "on the border"


def test_another_customer_has_other_reasons() -> None:
    told = asked("d")
    assert (told["segment"], told["runner_up"]) == ("S02", "S01")
    assert told["towards"][0]["value"] == 100
    assert told["towards"][0]["median"] == 200


def test_a_segment_without_a_name_is_called_by_its_id() -> None:
    stage = {"champion_segment": ["S03"] * 3 + ["S04"] * 3, "champion_runner_up": ["S04"] * 6}
    told = asked(stage=stage)
    assert (told["name"], told["runner_up_name"]) == ("S03", "S04")


@pytest.mark.parametrize(
    ("confidence", "words"),
    [
        (1.0, "nearly certain"), (0.98, "nearly certain"), (0.979, "likely"), (0.9, "likely"),
        (0.899, "on the border"), (0.6, "on the border"), (0.599, "a toss-up"), (0, "a toss-up"),
        (None, "unknown"),
    ],
)  # fmt: skip
def test_confidence_in_words(confidence: float | None, words: str) -> None:
    assert how_sure(confidence) == words


def test_an_unknown_confidence_is_said_to_be_unknown() -> None:
    told = asked(stage={"champion_confidence": [NAN] * 6})
    assert told["confidence"] is None
    assert told["how_sure"] == "unknown"
    assert "How sure this is is not known." in told["says"]


@pytest.mark.parametrize("runner_up", [None, "S09", "S01"])
def test_without_another_segment_nothing_pulls(runner_up: str | None) -> None:
    told = asked(stage={"champion_runner_up": pd.array([runner_up] * 6, dtype="str")})
    assert (told["runner_up"], told["runner_up_name"]) == (None, None)
    assert told["towards"] == told["away"] == []
    assert told["says"].startswith("In Spenders. This is likely")
    assert "Next" not in told["says"]


def test_a_gap_is_unknown_and_all_of_it_is_json() -> None:
    clean = CLEAN.assign(back=[NAN, 0.1, 0.1, NAN, NAN, NAN])
    told = json.loads(json.dumps(asked(clean=clean), allow_nan=False))
    back = told["away"][0]
    assert (back["value"], back["median"], back["runner_up_median"]) == (None, 0.1, None)
    assert back["says"] == "share sent back: unknown; median 10% in Spenders, unknown in Visitors"


def test_a_customer_who_is_not_there_is_an_error_that_says_so() -> None:
    with pytest.raises(InputError, match="no customer z in the segments"):
        asked("z")


def test_nothing_of_another_customer_is_told() -> None:
    words = json.dumps(asked())
    assert not any(f'"{one}"' in words for one in CLEAN["customer"])


def test_rows_are_matched_by_position() -> None:
    moved = asked(clean=CLEAN.set_axis([5, 3, 1, 0, 2, 4]), scaled=SCALED.set_axis(list("uvwxyz")))
    assert moved == asked()
