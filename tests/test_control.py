"""The control group is drawn for a campaign, and says which lift it could show."""

import numpy as np
import pytest

from tasks.control import detectable_lift, in_control, is_too_small

IDS = [f"C{number:06d}" for number in range(20_000)]
SECRET = b"s" * 32


def test_a_share_of_the_customers_is_held_back() -> None:
    for share in (0.01, 0.1, 0.5):
        spread = np.sqrt(share * (1 - share) / len(IDS))
        assert abs(in_control(IDS, SECRET, "autumn", share).mean() - share) < 4 * spread
    assert not in_control(IDS, SECRET, "autumn", 0).any()


def test_the_same_campaign_holds_back_the_same_people_in_any_order() -> None:
    held_back = in_control(IDS, SECRET, "autumn", 0.1)
    assert (in_control(IDS[::-1], SECRET, "autumn", 0.1)[::-1] == held_back).all()
    assert not (held_back & ~in_control(IDS, SECRET, "autumn", 0.2)).any()  # a larger group grows


@pytest.mark.parametrize("other", [(SECRET, "winter"), (b"t" * 32, "autumn"), (SECRET, "")])
def test_another_campaign_or_store_holds_back_others(other: tuple[bytes, str]) -> None:
    one, two = in_control(IDS, SECRET, "autumn", 0.1), in_control(IDS, *other, 0.1)
    assert 0.005 < (one & two).mean() < 0.015  # as many as by chance


@pytest.mark.parametrize(
    ("per_group", "base_rate", "rate", "power"),
    # as R's power.prop.test gives them: its help page, and the sample sizes of its other example
    [(50, 0.5, 0.8026141, 0.9), (76.7, 0.5, 0.75, 0.9)],
)
def test_equal_groups_see_what_the_textbook_says(
    per_group: float, base_rate: float, rate: float, power: float
) -> None:
    lift = detectable_lift(per_group, per_group, base_rate, power)  # type: ignore[arg-type]
    assert lift == pytest.approx(rate - base_rate, abs=2e-4)


def test_the_test_finds_the_lift_as_often_as_it_says() -> None:
    n_contacted, n_control, base_rate, n_trials = 4500, 500, 0.1, 20_000
    lift = detectable_lift(n_contacted, n_control, base_rate)
    assert lift is not None
    rng = np.random.default_rng(0)

    def found(contacted_rate: float) -> float:
        one = rng.binomial(n_contacted, contacted_rate, n_trials) / n_contacted
        two = rng.binomial(n_control, base_rate, n_trials) / n_control
        pooled = (one * n_contacted + two * n_control) / (n_contacted + n_control)
        error = np.sqrt(pooled * (1 - pooled) * (1 / n_contacted + 1 / n_control))
        return float(np.mean(np.abs(one - two) / error > 1.959964))

    assert found(base_rate + lift) == pytest.approx(0.8, abs=0.03)
    assert found(base_rate) == pytest.approx(0.05, abs=0.01)


def test_more_customers_see_a_smaller_lift() -> None:
    lifts = [detectable_lift(9 * n, n, 0.02) for n in (30, 100, 1000, 100_000)]
    assert None not in lifts
    assert lifts == sorted(lifts, reverse=True)  # type: ignore[type-var]
    smaller = detectable_lift(900, 100, 0.02, power=0.5)
    surer = detectable_lift(900, 100, 0.02, alpha=0.01)
    assert smaller < lifts[1] < surer  # type: ignore[operator]


def test_groups_that_can_show_nothing_say_so() -> None:
    assert detectable_lift(0, 10, 0.02) is None
    assert detectable_lift(10, 0, 0.02) is None
    assert detectable_lift(2, 2, 0.9) is None  # even if all of them answered
    assert is_too_small(None, 0.02)
    assert is_too_small(0.021, 0.02)
    assert not is_too_small(0.02, 0.02)
