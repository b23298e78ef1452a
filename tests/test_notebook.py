"""The usual notebook, rerun as it is, and measured beside the monthly preset."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import adjusted_rand_score, silhouette_score

from expectations.contract import Contract
from expectations.errors import InputError
from tasks import notebook, notebook_network
from tasks.audit import Audit, Candidate
from tasks.candidates import select_segments
from tasks.clustering import cluster_customers
from tasks.embedding import EmbeddingOptions
from tasks.figures_notebook import draw_notebook
from tasks.keeping import keep, load
from tasks.kmeans import by_falling_size, published_kmeans
from tasks.notebook import scale_as_notebook, select_as_notebook, why_seven
from tasks.notebook_network import (
    Design,
    build_network,
    density_cells,
    network_candidate,
    train_encoder,
    verdict_on,
)
from tasks.outcome import Outcome
from tasks.plain_rule import PlainRuleOptions
from tasks.scaling import ScalingOptions, scale_customers
from tasks.selection import Choice, SelectionOptions, elbow
from tasks.stability import Resample, Stability
from tasks.typicality import TypicalityOptions
from tasks.yardsticks import Partition, Reference
from tests.planted import ID, planted_segments

TINY = Design(encoder=(4, 3), decoder=(4,), epochs=1)
QUICK = SelectionOptions(resamples=10, min_survival=0.5, min_bootstrap_ari=0.6)
RULES = {"plain rule", "plain rule, tuned"}


def contract_of(table: pd.DataFrame) -> Contract:
    columns = {str(name): {"kind": "score"} for name in table.columns if name != ID}
    return Contract.model_validate({"name": "shop", "id": {"column": ID}, "columns": columns})


def selected(
    clean: pd.DataFrame, contract: Contract, options: SelectionOptions = QUICK, **settings: Any
) -> Outcome:
    settings = {"seed": 0, "design": TINY, "network_resamples": 1, **settings}
    scaled = scale_as_notebook(clean, contract).table
    few = PlainRuleOptions(null_draws=2, resamples=2)
    return select_as_notebook(scaled, clean, contract, options, EmbeddingOptions(), few, **settings)


def planted(*sizes: int) -> tuple[np.ndarray, np.ndarray]:
    """Segments around centres far apart, in five columns that tell of one another."""
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.repeat(range(len(sizes)), sizes))
    centres = rng.normal(0, 5, (len(sizes), 5))
    return centres[truth] + rng.normal(0, 0.3, (len(truth), 5)), truth


def filled(table: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    return table.fillna(table[list(contract.numeric)].mean())


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of the features in place of a code."""
    monkeypatch.setattr(notebook_network, "train_encoder", lambda *_: lambda X: X[:, :3])


@pytest.fixture
def quick(no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and short curves."""
    monkeypatch.setattr(notebook_network, "ELBOW_KS", range(1, 4))


@pytest.fixture(scope="module")
def month(month_of_600: pd.DataFrame, ccdata: Contract) -> pd.DataFrame:
    return filled(month_of_600, ccdata)


@pytest.fixture(scope="module")
def outcome(month: pd.DataFrame, ccdata: Contract) -> Outcome:
    return selected(month, ccdata, QUICK.model_copy(update={"segments": 7}))


@pytest.fixture(scope="module")
def X(month: pd.DataFrame, ccdata: Contract) -> np.ndarray:
    return scale_as_notebook(month, ccdata).table[list(ccdata.numeric)].to_numpy()


@pytest.fixture(scope="module")
def labels(X: np.ndarray) -> np.ndarray:
    """The segments that the later steps publish of this month."""
    return by_falling_size(published_kmeans(X, 7, 0, "none"), X).predict(X)


def test_every_number_is_standardised_as_it_is(
    month_of_600: pd.DataFrame, ccdata: Contract
) -> None:
    clean = filled(month_of_600, ccdata)
    table, learned, log = scale_as_notebook(clean, ccdata)
    numbers = month_of_600[list(ccdata.numeric)]
    expected = ((numbers - numbers.mean()) / clean[list(ccdata.numeric)].std(ddof=0)).fillna(0)
    pd.testing.assert_frame_equal(table[list(ccdata.numeric)], expected, check_names=False)
    assert table[ccdata.id.column].tolist() == clean[ccdata.id.column].tolist()
    assert log == {"features": list(ccdata.numeric), "dropped": []}
    assert list(learned["scaler.skops"].named_steps) == ["impute", "transform", "scale"]


def test_a_kept_scaler_fills_later_gaps_with_the_mean(
    month: pd.DataFrame, ccdata: Contract, tmp_path: Path
) -> None:
    keep(tmp_path / "scaler.skops", scale_as_notebook(month, ccdata).learned["scaler.skops"])
    scaler = load(tmp_path / "scaler.skops")
    column = list(ccdata.numeric).index("MINIMUM_PAYMENTS")
    found = scaler.transform(month.assign(MINIMUM_PAYMENTS=np.nan))[:, column]
    assert found == pytest.approx(0, abs=1e-12)


def test_a_column_that_does_not_vary_is_zero(month: pd.DataFrame, ccdata: Contract) -> None:
    before = month.copy(deep=True)
    table = scale_as_notebook(month.assign(TENURE=12), ccdata).table
    assert (table["TENURE"] == 0).all()
    assert np.isfinite(table[list(ccdata.numeric)]).all(axis=None)
    pd.testing.assert_frame_equal(month, before)


def test_seven_is_the_one_chosen_among_both_presets_lines(outcome: Outcome) -> None:
    table = outcome.table
    by_space = table.groupby("space")["k"].agg(list).to_dict()
    assert by_space.pop("notebook") == by_space.pop("none") == list(range(2, 13))
    assert by_space.pop("notebook autoencoder") == [7]
    assert by_space == {rule: [7] for rule in RULES}
    assert table["chosen"].dtype == bool
    chosen = table[table["chosen"]]
    assert chosen[["space", "k", "agreement"]].values.tolist() == [["notebook", 7, 1.0]]


def test_the_log_says_seven_and_what_the_rule_and_the_monthly_preset_say(outcome: Outcome) -> None:
    log = outcome.log
    assert {"k": 7, "pinned": True, "space": "none", "audited": 600}.items() <= log.items()
    seven = outcome.table.query("space == 'notebook' and k == 7").iloc[0]
    assert log["why"] == f"7: as the usual notebook does; the rule refuses it: {seven['verdict']}"
    curves = outcome.learned["notebook_curves.parquet"]
    assert log["elbow"] == elbow(curves[curves["space"] == "none"])
    assert log["metrics"] == {name: seven[name] for name in log["metrics"]}
    assert json.dumps(log, allow_nan=False)


def test_monthly_lines_are_those_of_a_monthly_run(
    outcome: Outcome, month: pd.DataFrame, ccdata: Contract
) -> None:
    scaled = scale_customers(month, ccdata, ScalingOptions()).table
    plain, few = EmbeddingOptions(embedding="none"), PlainRuleOptions(null_draws=2, resamples=2)
    own = select_segments(scaled, month, ccdata, QUICK, plain, few, 0)
    told = ["agreement", "chosen"]
    monthly = outcome.table.iloc[: len(own.table)]
    pd.testing.assert_frame_equal(monthly.drop(columns=told), own.table.drop(columns=told))
    assert outcome.log["monthly"] == {"k": own.log["k"], "why": own.log["why"]}
    assert outcome.log["plain_rule"] == own.log.get("plain_rule")


def test_a_monthly_line_says_how_far_it_agrees_with_the_notebooks_segments(
    outcome: Outcome, month: pd.DataFrame, ccdata: Contract, labels: np.ndarray
) -> None:
    monthly = scale_customers(month, ccdata, ScalingOptions()).table.drop(columns="CUST_ID")
    two = published_kmeans(monthly.to_numpy(), 2, 0, "none").predict(monthly.to_numpy())
    both = pd.crosstab(two, labels).to_numpy()
    best = max(both[0, i] + both[1, j] for i in range(7) for j in range(7) if i != j)
    line = outcome.table.query("space == 'none' and k == 2").iloc[0]
    assert line["agreement"] == pytest.approx(best / 600)


def test_the_audited_segments_are_the_published_ones(
    outcome: Outcome, X: np.ndarray, labels: np.ndarray
) -> None:
    metrics = outcome.log["metrics"]
    assert metrics["silhouette_own"] == pytest.approx(silhouette_score(X, labels), abs=1e-5)
    assert metrics["smallest_share"] == np.bincount(labels).min() / 600
    assert outcome.learned["embedding.skops"].transform(X) is X


def test_the_later_steps_assign_the_audited_segments(
    outcome: Outcome, month: pd.DataFrame, ccdata: Contract, labels: np.ndarray
) -> None:
    scaled, learned, _ = scale_as_notebook(month, ccdata)
    embedder, curve = (outcome.learned[name] for name in ("embedding.skops", "confidence.parquet"))
    parts = scaled, scaled, "CUST_ID", learned["scaler.skops"], embedder, curve
    made = cluster_customers(*parts, outcome.log, TypicalityOptions(), 0, month)
    expected = [f"S{label + 1:02d}" for label in labels]
    assert made.table["segment"].tolist() == expected
    assert made.log["metrics"]["inertia"] == pytest.approx(outcome.log["metrics"]["inertia"])
    assert (made.learned["model.skops"].predict(month) == labels).all()


def test_only_seven_is_resampled_to_the_end_whatever_fails(outcome: Outcome) -> None:
    own = outcome.table.query("space == 'notebook'").set_index("k")
    assert own["resamples"][7] == 10
    assert own["survival"][7] < 0.4  # so it had surely failed before
    stopped = own["resamples"] < 10
    assert stopped.any()
    assert (own["survival"][stopped] < 0.5).all()
    assert own["resamples"][[2, 10, 11, 12]].isna().all()


def test_confidence_rises_with_the_gap(outcome: Outcome) -> None:
    curve = outcome.learned["confidence.parquet"]
    assert curve["gap"].is_monotonic_increasing
    assert curve["confidence"].is_monotonic_increasing
    assert curve["confidence"].between(0, 1).all()


def test_each_space_has_its_curves(outcome: Outcome, X: np.ndarray) -> None:
    curves = outcome.learned["notebook_curves.parquet"]
    for _, curve in curves.groupby("space"):
        assert curve["k"].tolist() == list(range(1, 20))
        assert curve["k"][curve["silhouette"].notna()].tolist() == list(range(2, 13))
    of_scores = curves[curves["space"] == "none"].set_index("k")
    assert of_scores["inertia"][1] == pytest.approx(X.size)  # z-scores: a variance of 1 each
    assert of_scores["inertia"].is_monotonic_decreasing
    fit = KMeans(15, n_init=20, random_state=1).fit(X)
    assert of_scores["inertia"][15] == pytest.approx(fit.inertia_, rel=0.02)
    own = outcome.table.query("space == 'notebook'").set_index("k")
    np.testing.assert_allclose(of_scores["silhouette"].loc[2:12], own["silhouette_own"], atol=1e-6)
    of_code = curves[curves["space"] != "none"].set_index("k")
    network = outcome.table.query("space == 'notebook autoencoder'").iloc[0]
    assert of_code["inertia"][7] == pytest.approx(network["inertia"])
    assert of_code["silhouette"][7] == pytest.approx(network["silhouette_own"], abs=1e-6)


def test_the_map_counts_customers_by_segment_and_cell(
    outcome: Outcome, X: np.ndarray, labels: np.ndarray
) -> None:
    cells = outcome.learned["notebook_map.parquet"]
    pca = PCA(2, svd_solver="full").fit(X)
    x, y = pca.transform(X).T
    drawn = cells.dropna(subset="x")
    assert len(drawn) > 10
    for cell in drawn.itertuples():
        inside = (x >= cell.x) & (x < cell.x + cell.width) & (y >= cell.y)
        inside &= (y < cell.y + cell.width) & (labels == cell.segment - 1)
        assert inside.sum() == cell.customers >= 5
    assert set(cells["explained_x"]) == {pca.explained_variance_ratio_[0]}
    assert set(cells["explained_y"]) == {pca.explained_variance_ratio_[1]}


def test_the_map_tells_how_many_it_does_not_show_unless_they_are_too_few(
    outcome: Outcome, labels: np.ndarray
) -> None:
    cells = outcome.learned["notebook_map.parquet"]
    drawn = cells.dropna(subset="x").groupby("segment")["customers"].sum()
    others = cells[cells["x"].isna()].set_index("segment")["customers"]
    assert others.index.tolist() == list(range(1, 8))
    for segment, size in enumerate(np.bincount(labels), start=1):
        left = size - drawn.get(segment, 0)
        assert np.isnan(others[segment]) if 0 < left < 5 else others[segment] == left
    assert (cells["customers"].dropna().ge(5) | cells["customers"].dropna().eq(0)).all()


def test_four_customers_in_one_place_are_not_on_the_map() -> None:
    X = np.repeat([[0.0, 0, 0], [9, 0, 0], [0, 9, 0]], [5, 4, 30], axis=0)
    cells = density_cells(X, np.repeat([1, 2, 0], [5, 4, 30]))
    assert cells.dropna(subset="x")[["segment", "customers"]].values.tolist() == [[1, 30], [2, 5]]
    others = cells[cells["x"].isna()].set_index("segment")["customers"]
    assert others[[1, 2]].tolist() == [0, 0]
    assert np.isnan(others[3])


def test_the_same_seed_gives_the_same_bits_and_progress_ends_at_its_total(
    month: pd.DataFrame, ccdata: Contract, outcome: Outcome
) -> None:
    told: list[tuple[int, int]] = []
    again = selected(month, ccdata, on_progress=lambda *done: told.append(done))
    pd.testing.assert_frame_equal(again.table, outcome.table, check_exact=True)
    for name in ("confidence", "notebook_curves", "notebook_map"):
        tables = (one.learned[f"{name}.parquet"] for one in (again, outcome))
        pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert again.log == outcome.log
    done, total = zip(*told, strict=True)
    assert list(done) == sorted(set(done))
    assert set(total) == {done[-1]}


@pytest.mark.usefixtures("quick")
def test_seven_planted_segments_are_found_and_the_rule_agrees() -> None:
    X, _ = planted(60, 50, 40, 40, 40, 40, 40)
    clean = pd.DataFrame(X, columns=[*"abcde"]).assign(**{ID: range(310)})
    outcome = selected(clean, contract_of(clean), SelectionOptions(resamples=10))
    assert outcome.log["why"].startswith("7: as the usual notebook does; the rule agrees: every")
    assert outcome.log["metrics"]["bootstrap_ari"] == pytest.approx(1)
    assert outcome.log["metrics"]["smallest_share"] == pytest.approx(40 / 310)
    assert outcome.log["monthly"]["k"] == 7
    monthly = outcome.table.query("space == 'none' and k == 7").iloc[0]
    assert monthly["agreement"] == 1
    cells = outcome.learned["notebook_map.parquet"]
    assert cells.groupby("segment")["customers"].sum()[[1, 2]].tolist() == [60, 50]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (7, "the rule agrees: fine"),
        (6, "the rule refuses it: fine"),
        (None, "the rule refuses it: fine"),
        (9, "the rule would choose 9, and says of 7: fine"),
    ],
)
def test_the_rules_opinion_of_seven_is_in_words(chosen: int | None, words: str) -> None:
    why = why_seven(Choice(chosen, "", {7: "fine"}))
    assert why == f"7: as the usual notebook does; {words}"


def test_too_few_customers_are_an_error_that_says_so(month: pd.DataFrame, ccdata: Contract) -> None:
    with pytest.raises(InputError, match=r"7 customers .* into 7 segments\. Send more customers"):
        selected(month[:7], ccdata)


@pytest.mark.usefixtures("no_network")
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_a_handful_of_customers_has_short_curves() -> None:
    clean, _ = planted_segments(5, 5)
    outcome = selected(clean, contract_of(clean))
    assert outcome.table.query("space == 'notebook'")["k"].tolist() == list(range(2, 10))
    curves = outcome.learned["notebook_curves.parquet"]
    assert curves.query("space == 'none'")["k"].tolist() == list(range(1, 10))


@pytest.mark.usefixtures("quick")
def test_without_monthly_features_the_notebook_is_measured_at_home() -> None:
    noise = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 4)), columns=[*"abcd"])
    outcome = selected(noise.assign(**{ID: range(200)}), contract_of(noise))
    assert set(outcome.table["space"]) == {"notebook", "notebook autoencoder"}
    assert outcome.log["monthly"]["k"] is None
    assert "no stable segmentation: Left out: a (noise" in outcome.log["monthly"]["why"]
    metrics = outcome.log["metrics"]
    assert metrics["silhouette"] == metrics["silhouette_own"]


@pytest.mark.usefixtures("quick")
def test_fewer_than_three_monthly_features_are_measured_and_nothing_of_them_is_chosen() -> None:
    clean, _ = planted_segments(80, 60, 60)
    clean = clean[[ID, "b", "c", "noise"]]
    outcome = selected(clean, contract_of(clean))
    assert outcome.log["monthly"]["k"] is None
    assert "noise (noise" in outcome.log["monthly"]["why"]
    monthly = outcome.table.query("space == 'none'")
    assert monthly["silhouette"].notna().all()
    assert not monthly["chosen"].any()
    assert outcome.log["k"] == 7


@pytest.mark.usefixtures("quick")
def test_where_the_monthly_preset_finds_nothing_stable_the_notebook_still_runs() -> None:
    X = np.random.default_rng(0).multivariate_normal(np.zeros(4), np.eye(4) + 1, 150)
    clean = pd.DataFrame(X, columns=[*"abcd"]).assign(**{ID: range(150)})
    outcome = selected(clean, contract_of(clean), SelectionOptions(resamples=10))
    assert outcome.log["monthly"]["k"] is None
    assert "3 fails" in outcome.log["monthly"]["why"]
    assert outcome.log["plain_rule"] is None
    assert outcome.table.loc[outcome.table["chosen"], "space"].tolist() == ["notebook"]
    assert (outcome.table["space"] == "none").sum() == 11


@pytest.mark.usefixtures("quick")
def test_many_customers_are_audited_on_a_sample_and_mapped_as_a_whole() -> None:
    clean, _ = planted_segments(70, 60, 50, 40, 40, 40)
    outcome = selected(clean, contract_of(clean), SelectionOptions(resamples=10, audit_rows=150))
    assert outcome.log["audited"] == 150
    assert outcome.table["silhouette_error"].gt(0).all()
    cells = outcome.learned["notebook_map.parquet"]
    assert cells["customers"].sum() + 4 * cells["customers"].isna().sum() >= 300
    curves = outcome.learned["notebook_curves.parquet"].query("space == 'none' and k == 1")
    assert curves["inertia"].iloc[0] < 4 * 300 * 0.75  # of the 150


def test_the_network_is_the_notebooks() -> None:
    network, encoder = build_network(17, Design(), np.random.default_rng(0))
    layers = [*encoder.layers, *network.layers[1:]]
    assert [layer.units for layer in layers] == [7, 500, 500, 2000, 10, 2000, 500, 17]
    assert [layer.activation.__name__ for layer in layers] == [*["relu"] * 7, "linear"]
    assert (network.loss, type(network.optimizer).__name__) == ("mse", "Adam")
    assert (Design().epochs, Design().batch_size) == (25, 128)
    wide = layers[3].get_weights()[0]
    assert np.abs(wide).max() == pytest.approx(np.sqrt(6 / 2500), rel=0.01)


def test_a_network_hangs_on_its_seed_alone(X: np.ndarray) -> None:
    import keras

    first = train_encoder(X, TINY, 3)(X)
    keras.utils.set_random_seed(99)
    assert (train_encoder(X, TINY, 3)(X) == first).all()
    assert first.shape == (600, 3)
    assert first.dtype == np.float64
    assert (train_encoder(X, TINY, 4)(X) != first).any()
    assert (train_encoder(X, TINY._replace(epochs=2), 3)(X) != first).any()


def test_every_epoch_has_all_customers_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Mock()
    monkeypatch.setattr(notebook_network, "build_network", lambda *_: (network, Mock()))
    train_encoder(np.arange(50.0)[:, None], TINY._replace(epochs=3), 0)
    told = [call.args for call in network.fit.call_args_list]
    orders = [customers.ravel().tolist() for customers, _ in told]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in [*orders, range(50)]}) == 4
    assert all(customers is rebuilt for customers, rebuilt in told)


def audit_of(X: np.ndarray) -> Audit:
    return Audit(Reference(X, X, X, 0), X, EmbeddingOptions(), 0, "notebook")


def test_a_trained_code_says_more_of_the_customers_than_an_untrained_one() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 8)) + 0.1 * rng.normal(size=(300, 8))
    X = X / X.std(axis=0)
    design = Design(encoder=(16, 3), decoder=(16,), batch_size=16)
    untrained, trained = (train_encoder(X, design._replace(epochs=n), 0)(X) for n in (0, 10))
    before, after = (LinearRegression().fit(Z, X).score(Z, X) for Z in (untrained, trained))
    assert after > before + 0.08


def test_planted_segments_are_found_in_the_code_and_it_is_trained_anew_on_a_resample() -> None:
    X, truth = planted(90, 70, 50)
    design = Design(encoder=(32, 6), decoder=(32,), epochs=10, batch_size=16)
    codes: list[np.ndarray] = []

    def told(code: np.ndarray) -> np.ndarray:
        codes.append(code)
        return code

    network = network_candidate(audit_of(X), 3, design, 1, told)
    assert adjusted_rand_score(network.partition.labels, truth) > 0.95
    assert (network.line["resamples"], len(codes)) == (1, 2)
    assert network.line["bootstrap_ari"] > 0.9
    assert not np.allclose(*codes)
    own = silhouette_score(codes[0], network.partition.labels)
    assert network.line["silhouette_own"] == pytest.approx(own, abs=1e-5)


def test_how_often_the_networks_segments_were_found_again_is_in_words() -> None:
    nobody = np.zeros(2, dtype=bool)
    told = tuple(
        Resample(0.5, np.array(jaccard), nobody, nobody, np.zeros(2, dtype=int))
        for jaccard in ([0.9, 0.8], [0.75, 0.7], [0.9, 0.9])
    )
    fitted = Partition(np.array([0, 1]), 2, stability=Stability(told, 3))
    assert verdict_on(Candidate("network", 2, fitted, {})) == (
        "its weakest segment was found again in 2 of 3 resamples, each with the network trained "
        "anew"
    )


@pytest.fixture(scope="module")
def of_reference(reference_csv: Path, ccdata: Contract) -> Iterator[Outcome]:
    """The reference table with k = 3, 7 and 8, the monthly side left out, the network tiny."""
    clean = filled(pd.read_csv(reference_csv), ccdata)
    nothing = Outcome(pd.DataFrame(), log={"k": None, "why": ""})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebook, "possible_ks", lambda *_: [3, 7, 8])
        patch.setattr(notebook, "audited", lambda *_: {7: None})
        patch.setattr(notebook, "select_segments", lambda *_, **__: nothing)
        patch.setattr(notebook, "curves_of", lambda *_: curves())
        yield selected(clean, ccdata, SelectionOptions())


@pytest.mark.parametrize(
    ("k", "silhouette", "davies_bouldin", "calinski_harabasz", "smallest"),
    [
        (3, (0.2506, 0.2506), (1.597, 1.597), (1605, 1605), (1233, 1233)),
        (7, (0.207, 0.217), (1.30, 1.41), (1345, 1365), (22, 90)),
        (8, (0.218, 0.224), (1.30, 1.40), (1318, 1335), (20, 58)),
    ],
)
def test_the_notebooks_own_figures_are_reproduced(
    of_reference: Outcome,
    k: int,
    silhouette: tuple,
    davies_bouldin: tuple,
    calinski_harabasz: tuple,
    smallest: tuple,
) -> None:
    line = of_reference.table.query(f"space == 'notebook' and k == {k}").iloc[0]
    for found, (low, high), rounding in (
        (line["silhouette_own"], silhouette, 5e-4),
        (line["davies_bouldin_own"], davies_bouldin, 5e-3),
        (line["calinski_harabasz_own"], calinski_harabasz, 1),
        (line["smallest_share"] * 8950, smallest, 2),
    ):
        assert low - rounding <= found <= high + rounding


def test_the_rule_refuses_the_notebooks_seven_segments(of_reference: Outcome) -> None:
    metrics = of_reference.log["metrics"]
    assert 0.78 <= metrics["bootstrap_ari"] < 0.9  # .81 to .88 with four seeds
    assert metrics["worst_jaccard"] == pytest.approx(0.51, abs=0.06)
    assert metrics["survival"] < 0.5
    assert metrics["silhouette"] < 0.12 < 0.2 < metrics["silhouette_own"]
    assert "the rule refuses it: its weakest segment was found again in" in of_reference.log["why"]


def curves() -> pd.DataFrame:
    k = np.arange(1, 20)
    one = pd.DataFrame({"k": k, "inertia": 1e5 / k, "silhouette": np.where(k < 13, 0.2, np.nan)})
    one.loc[k == 1, "silhouette"] = np.nan
    code = one.assign(space="notebook autoencoder", inertia=one["inertia"] / 7)
    return pd.concat([one.assign(space="none"), code], ignore_index=True)


def cells(hidden: float = 6.0) -> pd.DataFrame:
    drawn = [(s, float(s + i), float(i), 5 + 10 * i) for s in range(1, 7) for i in range(3)]
    nowhere = [(s, np.nan, np.nan, hidden) for s in range(1, 8)]
    table = pd.DataFrame([*drawn, *nowhere], columns=["segment", "x", "y", "customers"])
    return table.assign(width=1.0, explained_x=0.27, explained_y=0.2)


def png(curves: pd.DataFrame, cells: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    draw_notebook(curves, cells).savefig(buffer, format="png", dpi=50)
    return buffer.getvalue()


def test_each_curve_has_a_panel_and_seven_is_marked() -> None:
    axes = draw_notebook(curves(), cells()).axes
    for ax, column, factor in zip(
        axes, ("inertia", "inertia", "silhouette", "silhouette"), (1, 1 / 7, 1, 1), strict=False
    ):
        whole, seven = (line.get_xydata() for line in ax.lines)
        expected = curves()[:19][["k", column]].dropna()
        assert whole[:, 0].tolist() == expected["k"].tolist()
        assert whole[:, 1] == pytest.approx(expected[column] * factor)
        assert seven[:, 0].tolist() == [7]


def test_each_segment_has_a_map_and_fuller_cells_are_darker() -> None:
    maps = draw_notebook(curves(), cells()).axes[4:11]
    for segment, ax in enumerate(maps, start=1):
        drawn = [len(collection.get_paths()) for collection in ax.collections]
        assert drawn == ([18, 3] if segment < 7 else [18])
        assert ax.get_title("left") == f"Segment {segment}"
        assert ax.get_title("right") == "6 not shown"
        assert ax.get_xlabel() == "component 1 (27%)"
    assert np.diff(maps[0].collections[1].get_alpha()).min() > 0
    corner = maps[0].collections[1].get_paths()[0].vertices[:4]
    assert corner.tolist() == [[1, 0], [2, 0], [2, 1], [1, 1]]


@pytest.mark.parametrize(("hidden", "words"), [(0.0, ""), (np.nan, "a few not shown")])
def test_none_and_few_hidden_customers_are_told_apart(hidden: float, words: str) -> None:
    assert draw_notebook(curves(), cells(hidden)).axes[4].get_title("right") == words


def test_a_map_without_cells_says_so() -> None:
    empty = cells()[lambda table: table["x"].isna()]
    assert png(curves(), empty).startswith(b"\x89PNG")
    maps = draw_notebook(curves(), empty).axes[4:11]
    assert all("No cell holds enough" in ax.texts[0].get_text() for ax in maps)


def test_a_picture_of_what_a_run_makes_is_the_same_twice(outcome: Outcome) -> None:
    made = [outcome.learned[f"notebook_{name}.parquet"] for name in ("curves", "map")]
    assert len(draw_notebook(*made).axes) == 12
    assert png(*made) == png(*made)
