"""Spaces: what is rebuilt, how well, and that it comes out the same everywhere."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from pydantic import ValidationError
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from tasks.embedding import (
    SPACES,
    TRUSTED_TYPES,
    Autoencoder,
    EmbeddingOptions,
    embed,
    fit_space,
    reconstruction_errors,
)
from tasks.network import build_network

ROOT = Path(__file__).parents[1]
OPTIONS = EmbeddingOptions(width=2, networks=2, epochs=3)


def curved_customers(n_customers: int = 1200, seed: int = 7) -> np.ndarray:
    """Eight columns that follow two hidden traits, none of them in a straight line."""
    rng = np.random.default_rng(seed)
    u, v = rng.uniform(-2, 2, (2, n_customers))
    curves = [u, v, u**2, v**2, u * v, np.sin(2 * u), np.cos(2 * v), np.abs(u + v)]
    return np.column_stack(curves) + rng.normal(0, 0.02, (n_customers, 8))


def run_in_new_process(code: str, *arguments: Path) -> str:
    """Run this code in a fresh Python and return what it prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def fingerprint(fitted: Autoencoder, X: np.ndarray) -> str:
    """One hash of all weights and of the curve."""
    digest = hashlib.sha256(fitted.training_curve_.tobytes())
    for layer in fitted.weights_.values():
        for array in layer:
            digest.update(array.tobytes())
    digest.update(fitted.transform(X).tobytes())
    return digest.hexdigest()


def test_training_writes_nothing_to_the_streams() -> None:
    """TensorFlow logs before it reads a setting; a run's standard error is for its own words."""
    code = (
        "import numpy as np; from tasks.embedding import Autoencoder\n"
        "Autoencoder(epochs=2, n_networks=1).fit(np.random.default_rng(0).normal(size=(60, 4)))\n"
        "import sys; print('told', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "told\n")


@pytest.fixture(scope="module")
def curved() -> np.ndarray:
    """Eight columns of two hidden traits."""
    return curved_customers()


@pytest.fixture(scope="module")
def trained(curved: np.ndarray) -> Autoencoder:
    """Three networks of width 2 on the curved customers."""
    return Autoencoder(width=2, batch_size=32).fit(curved)


@parametrize_with_checks([Autoencoder(epochs=2, n_networks=2, hidden=(8, 4))])
def test_keeps_scikit_learn_conventions(
    estimator: Autoencoder, check: Callable[[Autoencoder], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of scikit-learn's own checks, without an exception."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # without it one of the checks is skipped
    check(estimator)


def test_numpy_computes_what_keras_computes(trained: Autoencoder, curved: np.ndarray) -> None:
    """Scoring without Keras gives what was trained with it."""
    standardised = ((curved - trained.mean_) / trained.scale_).astype(np.float32)
    codes, rebuilt = (tensor.numpy() for tensor in build_network(trained.weights_)(standardised))
    by_keras = rebuilt.mean(axis=0) * trained.scale_ + trained.mean_
    np.testing.assert_allclose(trained.transform(curved), by_keras, atol=1e-5, rtol=0)
    np.testing.assert_allclose(trained.encode(curved)[:, :2], codes[0], atol=1e-5, rtol=0)
    assert trained.encode(curved).shape == (1200, 3 * 2)


def test_rebuilds_curved_customers_far_better_than_pca(
    trained: Autoencoder, curved: np.ndarray
) -> None:
    """On held-out rows, and on customers drawn afresh."""
    assert trained.reconstruction_error_ < 0.25 * trained.pca_error_
    unseen = curved_customers(seed=8)
    error = np.mean(((trained.transform(unseen) - unseen) / trained.scale_) ** 2)
    assert error < 0.25 * trained.pca_error_


def test_the_start_is_pca(trained: Autoencoder) -> None:
    """So an error below the first line is learned."""
    by_pca = trained.training_curve_[0]
    assert by_pca[1] == trained.pca_error_
    assert by_pca[0] == pytest.approx(by_pca[1], rel=0.2)


def test_the_best_epoch_is_kept_when_more_training_harms() -> None:
    """Nothing can be learned from noise: no worse than PCA, and an early end."""
    noise = np.random.default_rng(0).normal(size=(60, 8))
    fitted = Autoencoder(width=2, n_networks=1, learning_rate=0.02, epochs=60, patience=4)
    validation = fitted.fit(noise).training_curve_[:, 1]
    assert fitted.best_epoch_ == np.argmin(validation)
    assert len(validation) == fitted.best_epoch_ + 4 + 1 < 60
    assert fitted.reconstruction_error_ == pytest.approx(validation.min(), abs=1e-6)
    assert fitted.reconstruction_error_ <= fitted.pca_error_ + 1e-6


def test_every_epoch_is_told(curved: np.ndarray) -> None:
    """What a progress bar hears is the training curve."""
    told = []
    fitted = Autoencoder(epochs=3).fit(curved, on_epoch=lambda *epoch: told.append(epoch))
    assert [epoch for epoch, *_ in told] == [1, 2, 3]
    np.testing.assert_array_equal([losses for _, *losses in told], fitted.training_curve_[1:])


def test_each_network_learns_as_if_alone(curved: np.ndarray) -> None:
    """Networks share rows and optimiser, not gradients."""
    alone, first_of_three = (
        Autoencoder(width=2, n_networks=n, epochs=4).fit(curved) for n in (1, 3)
    )
    assert alone.best_epoch_ == first_of_three.best_epoch_ == 4
    np.testing.assert_allclose(
        alone.encode(curved), first_of_three.encode(curved)[:, :2], atol=1e-4
    )


def test_another_unit_rebuilds_the_same_customers(curved: np.ndarray) -> None:
    """Rebuilt rows come in the units of the input."""
    units = 2.0 ** np.arange(8)  # powers of two, so that rounding is the same
    metres, feet = Autoencoder(epochs=3), Autoencoder(epochs=3)
    rebuilt = metres.fit_transform(curved) * units
    np.testing.assert_allclose(feet.fit_transform(curved * units), rebuilt, rtol=1e-6, atol=1e-6)


def test_the_seed_decides_and_nothing_else(curved: np.ndarray, tmp_path: Path) -> None:
    """The same bits here and in a new process; global random states stay."""
    few = curved[:200]
    np.save(tmp_path / "few.npy", few)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    here = [
        fingerprint(Autoencoder(epochs=12, batch_size=64, random_state=seed).fit(few), few)
        for seed in (5, 5, 6)
    ]
    assert states == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    there = run_in_new_process(
        "import sys; import numpy as np\n"
        "from tests.test_embedding import Autoencoder, fingerprint\n"
        "few = np.load(sys.argv[1])\n"
        "fitted = Autoencoder(epochs=12, batch_size=64, random_state=5).fit(few)\n"
        "print(fingerprint(fitted, few))",
        tmp_path / "few.npy",
    )
    assert here[0] == here[1] == there
    assert here[0] != here[2]


def test_a_stored_network_needs_no_tensorflow(
    trained: Autoencoder, curved: np.ndarray, tmp_path: Path
) -> None:
    """Scoring machines may lack it."""
    (tmp_path / "trained.skops").write_bytes(skops.io.dumps(trained))
    np.save(tmp_path / "curved.npy", curved)
    run_in_new_process(
        "import sys; import numpy as np, skops.io\n"
        "from tasks.embedding import TRUSTED_TYPES\n"
        "stored, X, rebuilt = sys.argv[1:]\n"
        "loaded = skops.io.load(stored, trusted=TRUSTED_TYPES)\n"
        "np.save(rebuilt, loaded.transform(np.load(X)))\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)",
        tmp_path / "trained.skops",
        tmp_path / "curved.npy",
        tmp_path / "rebuilt.npy",
    )
    np.testing.assert_array_equal(np.load(tmp_path / "rebuilt.npy"), trained.transform(curved))


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"n_networks": 0},
        {"hidden": (8, 0)},
        {"epochs": 0},
        {"patience": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"validation_share": 0.0},
        {"validation_share": 1.0},
    ],
)
def test_senseless_parameters_are_named(wrong: dict[str, object], curved: np.ndarray) -> None:
    """The error names the parameter."""
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Autoencoder(**wrong).fit(curved)


@pytest.mark.parametrize("shape", [(3, 5), (4, 1), (40, 2)])
def test_tiny_tables_are_rebuilt(shape: tuple[int, int]) -> None:
    """The width gives way to few columns and few rows."""
    X = np.random.default_rng(0).normal(size=shape)
    fitted = Autoencoder(epochs=2).fit(X)
    assert fitted.width_ == min(6, shape[1], shape[0] - int(np.ceil(0.1 * shape[0])))
    assert fitted.transform(X).shape == shape


@pytest.mark.parametrize("space", SPACES)
def test_a_customer_has_the_same_place_alone_and_in_any_order(
    space: str, curved: np.ndarray
) -> None:
    """Coordinates are a matter of one row."""
    fitted = fit_space(space, curved, OPTIONS, random_state=0)
    Z = embed(fitted, curved)  # (n_customers, n_coordinates)
    assert np.isfinite(Z).all()
    order = np.random.default_rng(0).permutation(len(curved))
    np.testing.assert_allclose(embed(fitted, curved[order]), Z[order], atol=1e-9, rtol=0)
    np.testing.assert_allclose(embed(fitted, curved[17:18]), Z[17:18], atol=1e-9, rtol=0)


@pytest.mark.parametrize("space", SPACES)
def test_a_space_is_stored_and_leaves_its_input_alone(space: str, curved: np.ndarray) -> None:
    """Also: a clone fitted again gives the same coordinates."""
    features = pd.DataFrame(curved, columns=list("abcdefgh"))
    before = features.copy()
    fitted = fit_space(space, features, OPTIONS, random_state=0)
    Z = embed(fitted, features)
    pd.testing.assert_frame_equal(features, before)
    loaded = skops.io.loads(skops.io.dumps(fitted), trusted=TRUSTED_TYPES)
    np.testing.assert_array_equal(embed(loaded, features), Z)
    assert len(fitted.get_feature_names_out()) == Z.shape[1]
    np.testing.assert_array_equal(embed(clone(fitted).fit(features), features), Z)


@pytest.mark.parametrize("space", SPACES)
def test_a_width_beyond_the_features_rebuilds_exactly(space: str, curved: np.ndarray) -> None:
    """Nothing is lost where nothing is compressed."""
    wide = EmbeddingOptions(width=50, epochs=1)
    fitted = fit_space(space, curved, wide, random_state=0)
    errors = reconstruction_errors(space, fitted, curved, wide, random_state=0)
    assert errors == pytest.approx((0, 0), abs=1e-12)
    assert embed(fitted, curved).shape == curved.shape


def test_errors_compare_spaces_on_the_same_held_out_rows(curved: np.ndarray) -> None:
    """PCA's figure is the same beside every space."""
    options = EmbeddingOptions(width=2, epochs=20)
    errors = {
        space: reconstruction_errors(
            space, fit_space(space, curved, options, random_state=3), curved, options, 3
        )
        for space in SPACES
    }
    assert errors["none"].chosen == 0
    assert errors["pca"].chosen == errors["pca"].pca == errors["none"].pca
    assert errors["autoencoder"].pca == pytest.approx(errors["pca"].pca, rel=1e-9)
    assert errors["autoencoder"].chosen < errors["autoencoder"].pca


def test_the_plain_space_is_the_table_itself(curved: np.ndarray) -> None:
    """Not a number of it changes."""
    np.testing.assert_array_equal(embed(fit_space("none", curved, OPTIONS, 0), curved), curved)


def test_principal_components_lie_along_the_widest_direction() -> None:
    """Scores are distances along a planted line."""
    rng = np.random.default_rng(0)
    line = np.outer(rng.normal(0, 3, 500), [0.6, 0.8]) + rng.normal(0, 0.01, (500, 2))
    fitted = fit_space("pca", line, EmbeddingOptions(width=1), random_state=0)
    np.testing.assert_allclose(np.abs(fitted.components_), [[0.6, 0.8]], atol=0.01)
    assert np.std(embed(fitted, line)) == pytest.approx(3, rel=0.1)


def test_auto_is_no_space(curved: np.ndarray) -> None:
    """The error lists what is."""
    with pytest.raises(ValueError, match=r"'auto'.*none, pca, autoencoder"):
        fit_space("auto", curved, OPTIONS, random_state=0)


def test_options_make_a_form_and_keep_their_bounds() -> None:
    """Every field has a title and a description."""
    fields = EmbeddingOptions.model_json_schema()["properties"]
    assert set(fields["embedding"]["enum"]) == {"auto", *SPACES}
    assert all(field["title"] and field["description"] for field in fields.values())
    for wrong in ({"embedding": "umap"}, {"width": 0}, {"networks": 0}, {"epochs": 0}):
        with pytest.raises(ValidationError):
            EmbeddingOptions(**wrong)
    with pytest.raises(ValidationError):
        OPTIONS.width = 3


def log_pruned(path: Path) -> pd.DataFrame:
    """Space B of the reference table: log1p of money and counts, duplicates out, standardised."""
    raw = pd.read_csv(path).drop(columns=["CUST_ID", "MINIMUM_PAYMENTS"])
    logged = raw.fillna(raw.median())
    skewed = [name for name in logged if not name.endswith(("FREQUENCY", "TENURE", "FULL_PAYMENT"))]
    logged = logged.assign(**np.log1p(logged[skewed]))
    alike = logged.corr("spearman").abs()
    kept: list[str] = []
    for name in logged:
        if (alike.loc[name, kept] < 0.85).all():
            kept.append(name)
    features = logged[kept]
    return (features - features.mean()) / features.std(ddof=0)


@pytest.mark.skipif("CCDATA_CSV" not in os.environ, reason="CCDATA_CSV names no reference table")
def test_halves_the_error_of_pca_on_the_reference_table() -> None:
    """At width 6, on eleven logged columns; measured: .010 to .015 beside .124."""
    features = log_pruned(Path(os.environ["CCDATA_CSV"]))
    assert features.shape == (8950, 11)
    fitted = fit_space("autoencoder", features, EmbeddingOptions(), random_state=0)
    assert fitted.reconstruction_error_ <= 0.5 * fitted.pca_error_
    assert fitted.pca_error_ == pytest.approx(0.124, abs=0.005)
