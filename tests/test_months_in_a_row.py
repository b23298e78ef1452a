"""Months in a row: ids hold still, a planted move is seen and told for what it is; the demo."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deployments.demo import trend
from tasks.sample import draw_month
from tasks.year import in_words, months_until, moves_of, sizes_of
from tests.audits.months import CUSTOMER, MonthSeen, give_rows, live, months_of, plan_move
from tests.told import one_object

ROWS, MONTHS = 1500, 3
PINNED: dict[str, Any] = {
    "selection": {"segments": 6, "resamples": 10},
    "embedding": {"embedding": "none"},
    "plain_rule": {"null_draws": 2},
}
MARCH = pd.Period("2026-03", "M")


@pytest.fixture(scope="module", params=["auto", "always"])
def lived(
    request: pytest.FixtureRequest, prefect_server: None, tmp_path_factory: pytest.TempPathFactory
) -> list[MonthSeen]:
    """The second and the third month; in this one a move is planted."""
    folder = tmp_path_factory.mktemp(request.param)
    return list(live(folder, ROWS, 0, months_of(MONTHS), refit=request.param, **PINNED))


def test_ids_hold_still_but_for_the_noise_floor(lived: list[MonthSeen]) -> None:
    assert len(lived) == MONTHS - 1
    assert np.median([one.unplanted - one.noise for one in lived]) <= 0.02
    assert all(one.unplanted < 0.03 for one in lived)


def test_a_planted_move_is_recovered(lived: list[MonthSeen]) -> None:
    last = lived[-1]
    assert 0.04 < last.planted < 0.06
    assert abs(last.recovered - last.planted) <= 0.01


def test_a_planted_move_is_called_behaviour(lived: list[MonthSeen]) -> None:
    assert lived[-1].behaviour >= 0.9


def test_matrix_and_customers_add_up(lived: list[MonthSeen]) -> None:
    assert all(one.adds_up for one in lived)


def test_planted_rows_are_those_of_donors_and_all_others_their_own() -> None:
    table = draw_month(400, MARCH, seed=0).table
    ids = table[CUSTOMER]
    segments = ["S01"] * 200 + ["S02"] * 150 + ["S03"] * 50
    plan = plan_move(pd.DataFrame({"customer_id": ids, "segment_id": segments}), ids, 0.05, seed=0)
    assert (plan.source, plan.target, len(set(plan.customers))) == ("S01", "S02", 20)
    assert set(plan.customers) <= set(ids[:200])
    assert set(plan.donors) <= set(ids[200:350])
    given, own = (one.set_index(CUSTOMER) for one in (give_rows(table, plan), table))
    assert given.index.equals(own.index)
    assert given.loc[plan.customers].to_numpy() == pytest.approx(
        own.loc[plan.donors].to_numpy(), nan_ok=True
    )
    others = own.index.difference(plan.customers)
    assert given.loc[others].equals(own.loc[others])


def test_moves_are_planted_in_the_fifth_and_the_ninth_month_of_every_year() -> None:
    planted = moves_of(months_until(MARCH, 18))
    assert [one.month for one in planted] == ["2025-02", "2025-06", "2026-02"]
    assert moves_of(months_until(MARCH, 4)) == ()


def test_a_month_in_words_tells_no_small_count() -> None:
    line = {
        "month": "2026-03", "status": "published", "k": 6, "customers": 1500, "churn": 0.03,
        "noise": 0.01, "causes": {"boundary": 40, "behaviour": 3, "refit": 0}, "joined": 30,
        "left": 2,
    }  # fmt: skip
    said = in_words(line, min_cell=5)
    assert said.endswith("3.0% moved (noise 1.0%): boundary 40, behaviour < 5; 30 joined, < 5 left")
    assert "refit" not in said


def test_a_segment_that_comes_or_goes_is_blank_before_or_after() -> None:
    months = [[("S01", 10), ("S02", 4)], [("S01", 8), ("S03", 6)]]
    summaries = [
        {"segments": [{"id": id_, "name": id_, "size": size} for id_, size in month]}
        for month in months
    ]
    sizes = {one["id"]: one["sizes"] for one in sizes_of(summaries)}
    assert sizes == {"S01": [10, 8], "S02": [4, None], "S03": [None, 6]}
    assert trend([10, 8, None]) == "█▁ "


DEMO = ("demo", "--months", 2, "--rows", 600, "--segments", 4, "--embedding", "none")


def test_the_demo_publishes_its_months_and_once_only(resegment: Callable[..., Any]) -> None:
    first = resegment(*DEMO, "--month", "2026-10", "--json")
    assert first.exit_code == 0, first.output
    told = one_object(first)
    months = told["months"]
    assert [(one["month"], one["status"]) for one in months] == [
        ("2026-09", "published"),
        ("2026-10", "published"),
    ]
    assert (months[0]["churn"], months[1]["compared"] > 500) == (None, True)
    sizes = np.array([one["sizes"] for one in told["segments"]])  # (segments, months)
    assert sizes.shape == (4, 2)
    assert sizes.sum(axis=0).tolist() == [one["customers"] for one in months]
    again = resegment(*DEMO, "--month", "2026-10")
    assert again.exit_code == 0, again.output
    assert again.stderr.count("nothing to do") == 2
    assert "S04" in again.stdout
