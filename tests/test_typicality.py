"""Rows that fit nowhere: who is found, and that neither order, unit nor company matter."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from pydantic import ValidationError
from scipy.spatial.distance import cdist
from sklearn.utils.estimator_checks import parametrize_with_checks

from tasks import typicality
from tasks.fetching import fetched_table
from tasks.sample import draw_month
from tasks.typicality import JUDGES, TRUSTED_TYPES, Typicality, TypicalityOptions, fit_typicality
from tests.audits.judges import MONTH, clean_table, draw, measure, nearest_centroid
from tests.oddities import COLUMNS, ODDITIES, plant
from tests.test_embedding import run_in_new_process


def curved_customers(n_customers: int, seed: int = 7) -> np.ndarray:
    """Five columns that follow two hidden traits."""
    rng = np.random.default_rng(seed)
    u, v = rng.uniform(-2, 2, (2, n_customers))
    curves = np.column_stack([u, v, u**2, u * v, np.sin(2 * u)])
    return curves + rng.normal(0, 0.05, curves.shape)


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return curved_customers(900)


@pytest.fixture(scope="module")
def fitted(X: np.ndarray) -> dict[str, Typicality]:
    return {name: fit(name, X) for name in JUDGES}


@pytest.fixture(scope="module")
def months() -> list[pd.DataFrame]:
    """Three clean synthetic months of 2,500."""
    tables = (draw_month(2500, MONTH, seed).table for seed in range(3))
    return [clean_table(fetched_table(table, "synthetic")) for table in tables]


def fit(judge: str, X: Any, **changed: Any) -> Typicality:
    """Fit a judge, with few epochs where there are any."""
    return Typicality(judge, **{"epochs": 8} | changed).fit(X)


# None of scikit-learn's checks is left out.
@parametrize_with_checks([Typicality(), Typicality("autoencoder", epochs=1)])
def test_keeps_scikit_learn_conventions(
    estimator: Typicality, check: Callable[[Typicality], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # without it one of the checks is skipped
    check(estimator)


def test_neighbours_are_near_by_mahalanobis_distance(X: np.ndarray) -> None:
    """Whitening all components is that distance; the nearest point of all is left out."""
    inverse = np.linalg.inv(np.cov(X.T))
    unseen = curved_customers(50, seed=8)
    distances = np.sort(cdist(unseen, X, "mahalanobis", VI=inverse), axis=1)
    expected = -distances[:, 1:5].mean(axis=1)
    scores = Typicality(neighbours=4).fit(X).score_samples(unseen)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_the_autoencoder_judges_by_what_it_loses(fitted: dict[str, Typicality]) -> None:
    """In standardised units, root mean square."""
    network = fitted["autoencoder"].judge_.networks_
    unseen = curved_customers(50, seed=8)
    standardised = (unseen - network.mean_) / network.scale_
    rebuilt = (network.transform(unseen) - network.mean_) / network.scale_
    expected = -np.sqrt(((rebuilt - standardised) ** 2).mean(axis=1))
    scores = fitted["autoencoder"].score_samples(unseen)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


@pytest.mark.parametrize("judge", JUDGES)
def test_planted_oddities_are_found(judge: str, months: list[pd.DataFrame]) -> None:
    """Among customers held out, in three draws; measured: .84 on average, the centroid's .77."""

    def oddness(X: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
        scores = fit(judge, X, epochs=20, random_state=seed).score_samples
        return lambda rows: -scores(rows)

    drawn = [draw(clean, seed) for seed, clean in enumerate(months)]
    aucs = [measure(oddness, one, seed).auc for seed, one in enumerate(drawn)]
    by_centroid = [measure(nearest_centroid, one, seed).auc for seed, one in enumerate(drawn)]
    assert np.mean(aucs) > 0.82
    assert np.subtract(aucs, by_centroid).min() > 0.03


def test_oddities_keep_every_bound_and_leave_the_others_alone(months: list[pd.DataFrame]) -> None:
    clean = months[0]
    before = clean.copy()
    table, kinds = plant(clean, 0.1, np.random.default_rng(0))
    pd.testing.assert_frame_equal(clean, before)
    assert (table[COLUMNS] >= clean[COLUMNS].min()).all(axis=None)
    assert (table[COLUMNS] <= clean[COLUMNS].max()).all(axis=None)
    is_changed = (table[COLUMNS] != clean[COLUMNS]).any(axis=1).to_numpy()
    np.testing.assert_array_equal(is_changed, kinds != "")
    counts = pd.Series(kinds[kinds != ""]).value_counts()
    assert set(counts.index) == set(ODDITIES)
    assert counts.between(20, 25).all()


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("typical_share", [0.98, 0.9])
def test_so_many_of_the_fitted_month_are_typical(
    judge: str, typical_share: float, X: np.ndarray
) -> None:
    """To the row: a point is no neighbour of its own, neither for the threshold nor after."""
    model = fit(judge, X, typical_share=typical_share)
    assert model.untypical_share(X) * 900 == pytest.approx((1 - typical_share) * 900, abs=1.01)


def test_of_customers_never_seen_as_many_are_typical(fitted: dict[str, Typicality]) -> None:
    """All 900 fitted rows are points: near themselves they would make others look odd."""
    unseen = curved_customers(20_000, seed=9)
    for model in fitted.values():
        assert 0.015 < model.untypical_share(unseen) < 0.035


@pytest.mark.parametrize("neighbours", [1, 10])
def test_nobody_is_typical_for_being_near_oneself(neighbours: int, X: np.ndarray) -> None:
    """An odd customer of the fitted month is odd in it, and a month later too."""
    with_one_odd = np.vstack([X, [[2, -2, 0, 4, 2]]])
    model = Typicality(neighbours=neighbours).fit(with_one_odd)
    assert model.predict(with_one_odd)[-1] == -1
    assert model.predict(with_one_odd[-1:] + 1e-3) == [-1]


@pytest.mark.parametrize("judge", JUDGES)
def test_a_row_is_judged_alone(judge: str, X: np.ndarray, fitted: dict[str, Typicality]) -> None:
    """Neither the others nor their order matter, nor the blocks in which they are scored."""
    model, unseen = fitted[judge], curved_customers(60, seed=8)
    scores = model.score_samples(unseen)
    alone = np.concatenate([model.score_samples(row[None]) for row in unseen])
    np.testing.assert_allclose(alone, scores, atol=1e-9, rtol=0)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_allclose(model.score_samples(unseen[order]), scores[order], atol=1e-9, rtol=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typicality, "ROWS_AT_ONCE", 7)
        np.testing.assert_allclose(model.score_samples(unseen), scores, atol=1e-9, rtol=0)


@pytest.mark.parametrize("judge", JUDGES)
def test_the_order_of_the_fitted_rows_does_not_matter(
    judge: str, X: np.ndarray, fitted: dict[str, Typicality]
) -> None:
    """To the bit, although points are drawn and networks hold rows out."""
    mixed = X[np.random.default_rng(0).permutation(len(X))]
    few = {"points": 100, "epochs": 2}
    one, other = fit(judge, X, **few), fit(judge, mixed, **few)
    assert one.offset_ == other.offset_
    np.testing.assert_array_equal(one.score_samples(X), other.score_samples(X))


@pytest.mark.parametrize("judge", JUDGES)
def test_another_unit_changes_nothing(
    judge: str, X: np.ndarray, fitted: dict[str, Typicality]
) -> None:
    """Features are standardised by the judges themselves."""
    units = 2.0 ** np.array([10, -10, 0, 3, -1])  # powers of two, so that rounding is the same
    scores = fit(judge, X * units).score_samples(X * units)
    np.testing.assert_allclose(scores, fitted[judge].score_samples(X), rtol=1e-6)


def test_mixing_the_columns_changes_nothing_for_neighbours(
    X: np.ndarray, fitted: dict[str, Typicality]
) -> None:
    """A whitened distance knows no columns."""
    mixing = np.random.default_rng(0).normal(size=(5, 5))
    scores = Typicality().fit(X @ mixing).score_samples(X @ mixing)
    np.testing.assert_allclose(scores, fitted["neighbours"].score_samples(X), rtol=1e-6)


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("shape", [(3, 11), (5, 1), (11, 11), (40, 2)])
def test_tiny_tables_are_judged(judge: str, shape: tuple[int, int]) -> None:
    """With fewer customers than neighbours, and fewer features than the networks' width."""
    rows = np.random.default_rng(0).normal(size=shape)
    model = fit(judge, rows, epochs=1)
    assert np.isfinite(model.score_samples(rows)).all()
    assert (model.predict(rows) == 1).mean() >= 0.98 - 1e-9
    assert np.isfinite(model.score_samples(rows + 100)).all()


@pytest.mark.parametrize("judge", JUDGES)
def test_two_customers_are_too_few(judge: str) -> None:
    with pytest.raises(ValueError, match="minimum of 3"):
        fit(judge, np.eye(2))


@pytest.mark.parametrize("judge", JUDGES)
def test_what_never_varies_blows_nothing_up(judge: str, X: np.ndarray) -> None:
    """A constant and a copy of a column: other customers are as typical as without them."""

    def widened(rows: np.ndarray) -> np.ndarray:
        return np.column_stack([rows, np.full(len(rows), 0.1), rows[:, 0] / 3])

    unseen = curved_customers(5000, seed=9)
    model = fit(judge, widened(X), epochs=12)
    assert np.isfinite(model.score_samples(widened(unseen))).all()
    assert 0.01 < model.untypical_share(widened(unseen)) < 0.04
    leaves_the_constant, breaks_the_copy = widened(unseen[:200]), widened(unseen[:200])
    leaves_the_constant[:, 5] = 3.0
    breaks_the_copy[:, 6] *= -1
    assert model.untypical_share(leaves_the_constant) > 0.9
    if judge == "neighbours":
        assert model.untypical_share(breaks_the_copy) > 0.9


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("judge", JUDGES)
def test_a_month_of_one_customer_many_times(judge: str) -> None:
    """All of them are typical, and who differs is not."""
    rows = np.tile([[0.1, 0.7, 1 / 3]], (50, 1))
    model = fit(judge, rows)
    assert model.untypical_share(rows) == 0
    assert model.predict(rows[:1] + 1e-12) == [1]  # rounding is no difference
    assert model.predict(rows[:1] + 1) == [-1]


def test_a_small_distance_keeps_its_digits(X: np.ndarray) -> None:
    """Every customer has a twin a millionth away, and a twin's twin."""
    triplets = np.vstack([X, X + 1e-6, X + 3e-6])
    inverse = np.linalg.inv(np.cov(triplets.T))
    expected = np.sqrt(np.ones(5) @ inverse @ np.ones(5)) * 1e-6  # X to X + 1e-6
    scores = Typicality(neighbours=1, points=2700).fit(triplets).score_samples(X)
    np.testing.assert_allclose(scores, -expected, rtol=1e-6)


def test_twins_do_not_blur_the_threshold(X: np.ndarray) -> None:
    """Every customer twice: still 2 % of them fit nowhere, and both twins or none."""
    twice = np.repeat(X, 2, axis=0)
    verdicts = Typicality().fit(twice).predict(twice)
    np.testing.assert_array_equal(verdicts[::2], verdicts[1::2])
    assert 0 < (verdicts == -1).mean() <= 0.02


def test_fitting_takes_so_many_rows_and_keeps_so_many_points(
    X: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A larger table costs no more, and a judge is found by its name alone."""
    seen: list[np.ndarray] = []

    class FirstColumn:
        def fit(self, X: np.ndarray, on_epoch: object = None) -> FirstColumn:
            seen.append(X)
            return self

        def oddness(self, X: np.ndarray) -> np.ndarray:
            return np.abs(X[:, 0])

    monkeypatch.setattr(typicality, "FIT_ROWS", 200)
    assert Typicality(points=50).fit(X).judge_.points_.shape == (50, 5)
    monkeypatch.setattr(typicality, "JUDGES", {"first": lambda settings, seed: FirstColumn()})
    model = Typicality("first").fit(X)
    assert seen[0].shape == (200, 5)
    assert len(np.unique(seen[0], axis=0)) == 200
    assert {tuple(row) for row in seen[0]} <= {tuple(row) for row in X}
    assert model.offset_ == pytest.approx(-np.sort(np.abs(seen[0][:, 0]))[-4], abs=2e-6)


def test_the_seed_decides_which_points_are_kept(X: np.ndarray) -> None:
    one, again, other = (Typicality(points=50, random_state=seed).fit(X) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.judge_.points_, again.judge_.points_)
    assert not np.array_equal(one.judge_.points_, other.judge_.points_)


@pytest.mark.parametrize("judge", JUDGES)
def test_a_stored_judge_needs_no_tensorflow(
    judge: str, X: np.ndarray, fitted: dict[str, Typicality], tmp_path: Path
) -> None:
    """Only our own types have to be trusted, and scoring machines may lack TensorFlow."""
    (tmp_path / "judge.skops").write_bytes(skops.io.dumps(fitted[judge]))
    np.save(tmp_path / "X.npy", X)
    run_in_new_process(
        "import sys; import numpy as np, skops.io\n"
        "from tasks.typicality import TRUSTED_TYPES\n"
        "stored, X, scores = sys.argv[1:]\n"
        "loaded = skops.io.load(stored, trusted=TRUSTED_TYPES)\n"
        "np.save(scores, loaded.decision_function(np.load(X)))\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)",
        *(tmp_path / name for name in ("judge.skops", "X.npy", "scores.npy")),
    )
    scores = np.load(tmp_path / "scores.npy")
    np.testing.assert_array_equal(scores, fitted[judge].decision_function(X))


@pytest.mark.parametrize("judge", JUDGES)
def test_no_id_is_stored_with_a_judge(judge: str, X: np.ndarray) -> None:
    """Not even where the table bears ids as its index; and only our own types are named."""
    ids = [f"C{row:05d}" for row in range(900)]
    model = fit(judge, pd.DataFrame(X, index=ids, columns=list("abcde")), epochs=1)
    stored = skops.io.dumps(model)
    assert set(skops.io.get_untrusted_types(data=stored)) <= set(TRUSTED_TYPES)
    archive = zipfile.ZipFile(io.BytesIO(stored))
    assert not any(b"C00" in archive.read(name) for name in archive.namelist())


def test_options_reach_the_judge(X: np.ndarray) -> None:
    options = TypicalityOptions(neighbours=3, points=60, typical_share=0.9)
    model = fit_typicality(X, options, random_state=4)
    expected = Typicality(neighbours=3, points=60, typical_share=0.9, random_state=4).fit(X)
    np.testing.assert_array_equal(model.decision_function(X), expected.decision_function(X))


def test_every_epoch_is_told(X: np.ndarray) -> None:
    told: list[int] = []
    Typicality("autoencoder", epochs=3).fit(X, on_epoch=lambda epoch, *_: told.append(epoch))
    assert told == [1, 2, 3]


WRONG = [
    ("judge", "oracle"),
    ("neighbours", 0),
    ("points", 1),
    ("epochs", 0),
    ("typical_share", 1.0),
    ("typical_share", 0.0),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_senseless_parameters_are_named(name: str, value: Any, X: np.ndarray) -> None:
    with pytest.raises(ValueError, match=name):
        Typicality(**{name: value}).fit(X)
    with pytest.raises(ValidationError):
        TypicalityOptions(**{name: value})


def test_options_make_a_form() -> None:
    """Every field has a title and a description, and the judges are those that exist."""
    fields = TypicalityOptions.model_json_schema()["properties"]
    assert set(fields["judge"]["enum"]) == set(JUDGES)
    assert all(field["title"] and field["description"] for field in fields.values())
    with pytest.raises(ValidationError):
        TypicalityOptions().points = 3
