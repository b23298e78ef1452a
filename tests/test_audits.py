"""The audits' own arithmetic: a bound that fails says so, and a probability is held to its word."""

import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from expectations.errors import InputError
from tasks.scaling import LogColumns
from tasks.selection import SelectionOptions
from tests.audits import __main__ as everything
from tests.audits import common, confidence, cost, filters, subsamples, truth
from tests.audits.common import counted, measured, tell
from tests.audits.confidence import calibration, calibration_error
from tests.audits.judges import CONTRACT
from tests.planted import ID, planted_segments


def printed(*figures: common.Figure) -> tuple[bool, str]:
    page = io.StringIO()
    return tell("figures", figures, Console(file=page, width=120)), page.getvalue()


@pytest.mark.parametrize(
    ("hits", "of", "holds"), [(31, 36, True), (30, 36, False), (9, 10, True), (8, 10, False)]
)
def test_a_count_is_held_to_its_part_of_the_draws(hits: int, of: int, holds: bool) -> None:
    figure = counted("k", [True] * hits + [False] * (of - hits), least=(31, 36))
    assert (figure.found, figure.holds) == (f"{hits} of {of}", holds)
    assert figure.asked == f"at least {31 if of == 36 else 9} of {of}"


def test_a_mean_may_hold_where_not_each_value_does() -> None:
    assert measured("ari", [0.9, 1.0], low=0.95).holds
    assert not measured("ari", [0.9, 1.0], low=0.95, each=True).holds
    assert not measured("ari", [0.97, 0.99], high=0.98, each=True).holds
    assert measured("silhouette", [0.24], 0.238, 0.248, each=True).asked == "each 0.238 to 0.248"


def test_what_was_not_measured_does_not_hold() -> None:
    assert counted("k", [], least=(9, 10)).holds is False
    assert measured("ari", [], low=0.9).holds is False
    assert measured("ari", [0.95, float("nan")], low=0.9, each=True).holds is False
    assert measured("ari", [0.95, float("nan")], low=0.9).holds is False


def test_a_figure_of_which_nothing_is_asked_is_only_told() -> None:
    assert counted("copula", [False] * 20).holds is None
    assert measured("brier", [0.1, 0.3]).holds is None
    assert printed(counted("copula", [False] * 20), measured("brier", [0.1]))[0] is True


def test_one_bound_that_fails_fails_the_table_and_is_seen() -> None:
    good, bad = measured("good", [0.96], low=0.95), measured("bad", [0.94], low=0.95)
    holds, page = printed(good, bad, good)
    assert holds is False
    assert page.count(" yes ") == 2
    assert page.count(" NO ") == 1
    assert printed(good, good)[0] is True


def test_mean_and_spread_are_those_of_the_draws() -> None:
    figure = measured("ari", [0.9, 0.95, 1.0])
    assert (figure.found, figure.spread) == ("0.950 ± 0.050", "0.900 .. 1.000")
    assert common.tallied(["7", "8", "7"]) == "7 x 2, 8 x 1"


def outcomes(said: dict[float, float], each: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """So many customers per probability, and the share of them for whom it came true."""
    came_true = [np.arange(each) < round(share * each) for share in said.values()]
    return np.repeat(list(said), each), np.concatenate(came_true)


def test_probabilities_that_keep_their_word_have_no_calibration_error() -> None:
    exact = outcomes({share / 20: share / 20 for share in range(1, 16)})  # a bin each
    assert calibration_error(*exact) == pytest.approx(0)


def test_calibration_error_is_the_mean_gap_and_gaps_do_not_cancel() -> None:
    assert calibration_error(*outcomes({0.9: 0.6}), bins=1) == pytest.approx(0.3)
    assert calibration_error(*outcomes({0.2: 0.3, 0.8: 0.7}), bins=2) == pytest.approx(0.1)
    assert calibration_error(*outcomes({0.2: 0.3, 0.8: 0.8}), bins=2) == pytest.approx(0.05)


def test_calibration_error_does_not_depend_on_the_order() -> None:
    rng = np.random.default_rng(0)
    said = rng.random(3000)
    came_true = rng.random(3000) < said**2
    order = rng.permutation(3000)
    error = calibration_error(said, came_true)
    assert error == pytest.approx(calibration_error(said[order], came_true[order]))
    assert error == pytest.approx(1 / 2 - 1 / 3, abs=0.03)  # the integral of p - p squared


def test_the_brier_score_stands_beside_that_of_the_best_constant() -> None:
    sure = calibration(*outcomes({0.0: 0.0, 1.0: 1.0}))
    assert (sure.brier, sure.constant) == (0, pytest.approx(0.25))
    ignorant = calibration(*outcomes({0.7: 0.7}))
    assert ignorant.brier == pytest.approx(ignorant.constant) == pytest.approx(0.21)


def test_only_customers_that_no_refit_saw_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confidence, "OPTIONS", SelectionOptions(resamples=10))
    scaled, planted = planted_segments(*[40] * 7)
    X, said = scaled.drop(columns=ID).to_numpy(), np.arange(280) / 280
    fitted_on = np.arange(200)
    asked, agreed = confidence.fresh_outcomes(X, fitted_on, planted, said, seed=1)
    assert sorted(asked) == sorted(np.tile(said[200:], 10))
    assert agreed.mean() > 0.9
    asked, _ = confidence.fresh_outcomes(X, np.arange(280), planted, said, seed=1)
    assert len(asked) == pytest.approx(10 * 280 / np.e, rel=0.1)


def test_filters_are_given_noise_and_near_copies_at_the_end() -> None:
    X = np.random.default_rng(1).normal(size=(2000, 11))
    scaled = pd.DataFrame(X, columns=[f"f{number}" for number in range(11)])
    added = filters.added_columns(scaled, seed=0)
    assert added.shape == (2000, 25)
    copies = [name for name in added if name.startswith("copy_")]
    assert len(copies) == 5
    for name in copies:
        assert np.std(added[name] - scaled[name.removeprefix("copy_")]) == pytest.approx(0.1, 0.1)
    contract = filters.extended(CONTRACT, added)
    assert list(contract.features) == [*CONTRACT.features, *added]
    assert [n for n in added if contract.columns[n].is_logged] == [
        f"lognormal_{number}" for number in range(4)
    ]


def test_a_gaussian_has_the_correlations_of_the_table() -> None:
    rng = np.random.default_rng(0)
    X = np.exp(rng.normal(size=(4000, 3)) @ np.array([[1, 0.8, 0], [0, 1, 0.5], [0, 0, 1]]))
    drawn = truth.correlated_gaussian(LogColumns([0, 1, 2]).transform(X), seed=1)
    logged = np.log1p(X)
    assert np.corrcoef(drawn.T) == pytest.approx(np.corrcoef(logged.T), abs=0.06)
    scaled = truth.table_like(drawn)
    assert scaled[ID].is_unique
    assert scaled.drop(columns=ID).std(ddof=0).to_numpy() == pytest.approx(1)


def test_a_subsample_is_four_fifths_of_the_customers_once_each() -> None:
    clean = pd.DataFrame({"row": range(1000)})
    first, second = subsamples.subsample(clean, 0), subsamples.subsample(clean, 1)
    assert len(first) == 800
    assert first["row"].is_unique
    assert first["row"].is_monotonic_increasing
    assert set(first["row"]) != set(second["row"])


def test_stacked_months_have_new_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "MONTH_ROWS", 300)
    monkeypatch.setattr(cost, "MANY", 800)
    many = cost.many_customers()
    assert len(many) == 800
    assert many[CONTRACT.id.column].is_unique
    assert many.drop(columns=CONTRACT.id.column).duplicated().mean() < 0.01


def test_without_the_reference_table_an_audit_says_how_to_name_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CCDATA_CSV", raising=False)
    with pytest.raises(InputError, match="Set CCDATA_CSV"):
        common.reference_table()


def test_all_audits_hold_only_if_each_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = {"reference": True, "truth": False, "judges": None}

    def module(name: str) -> SimpleNamespace:
        return SimpleNamespace(main=lambda: ends[name.removeprefix("tests.audits.")])

    monkeypatch.setattr(everything, "import_module", module)
    assert everything.main(["--only", "reference", "judges"]) is True
    assert "its tables tell" in capsys.readouterr().out
    assert everything.main(["--only", "reference", "truth"]) is False
    assert "NO" in capsys.readouterr().out


def test_an_audit_without_its_table_does_not_hold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CCDATA_CSV", raising=False)
    assert everything.main(["--only", "filters"]) is False
    assert "Set CCDATA_CSV" in capsys.readouterr().out
