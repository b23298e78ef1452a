"""Maps: where segments lie, of no fewer customers than allowed, the same in any order."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tasks import maps
from tasks.maps import Coordinates, map_cells, map_centres, network_map, principal_map
from tests.planted import ID, planted_segments

FEATURES = ["a", "b", "c", "noise"]


@pytest.fixture(scope="module")
def planted() -> tuple[pd.DataFrame, pd.Series]:
    """The scaled features and segments of 900 customers in four corners."""
    scaled, truth = planted_segments(350, 250, 200, 100)
    X = scaled[FEATURES]
    return scaled.assign(**((X - X.mean()) / X.std(ddof=0))), pd.Series(truth).map("S{:02d}".format)


@pytest.fixture(scope="module")
def curved() -> pd.DataFrame:
    """Six columns that follow two hidden traits, most of them not in a straight line."""
    rng = np.random.default_rng(7)
    u, v = rng.uniform(-2, 2, (2, 600))
    X = np.column_stack([u, v, u**2, v**2, np.abs(u), np.abs(v)]) + rng.normal(0, 0.05, (600, 6))
    columns = [f"f{number}" for number in range(6)]
    return pd.DataFrame((X - X.mean(axis=0)) / X.std(axis=0), columns=columns)


@pytest.fixture(scope="module")
def by_network(curved: pd.DataFrame) -> Coordinates:
    return network_map(curved, list(curved), seed=0)


def spread_out(n: int = 4000, seed: int = 0) -> tuple[np.ndarray, pd.Series]:
    """Customers of three segments, each around a place of its own; the last has few."""
    rng = np.random.default_rng(seed)
    places = np.array([[0, 0], [4, 0], [0, 20]])
    which = rng.choice(3, n, p=[0.6, 0.37, 0.03])
    Z = places[which] + rng.normal(size=(n, 2)) * [1, 5]
    return Z, pd.Series(which).map("S{:02d}".format)


def in_cell(Z: np.ndarray, cell: pd.Series) -> np.ndarray:
    """Who lies in a cell; its upper ends do not belong to it."""
    low, high = (cell[[f"x_{end}", f"y_{end}"]].to_numpy(float) for end in ("low", "high"))
    return ((low <= Z) & (high > Z)).all(axis=1)


def test_principal_components_lie_where_the_spread_is(
    planted: tuple[pd.DataFrame, pd.Series],
) -> None:
    scaled, _ = planted
    X = scaled[FEATURES].to_numpy()
    found = principal_map(scaled, FEATURES)
    values, axes = np.linalg.eigh(np.cov(X.T))
    for place in (0, 1):
        by_hand = X @ axes[:, -1 - place]
        assert abs(np.corrcoef(found.Z[:, place], by_hand)[0, 1]) == pytest.approx(1)
        assert found.Z[:, place].std(ddof=1) == pytest.approx(np.sqrt(values[-1 - place]))
    assert found.explained == pytest.approx(tuple(values[::-1][:2] / values.sum()))


def test_only_the_features_asked_for_are_seen(planted: tuple[pd.DataFrame, pd.Series]) -> None:
    scaled, _ = planted
    other = scaled.assign(noise=0.0, b=5.0)
    np.testing.assert_array_equal(
        principal_map(other, ["a", "c"]).Z, principal_map(scaled, ["a", "c"]).Z
    )


def test_an_axis_rises_with_the_feature_that_it_follows_most(
    planted: tuple[pd.DataFrame, pd.Series], by_network: Coordinates, curved: pd.DataFrame
) -> None:
    scaled, _ = planted
    mirrored = scaled.assign(a=-scaled["a"], c=-scaled["c"])
    for table, Z in (
        (scaled[FEATURES], principal_map(scaled, FEATURES).Z),
        (mirrored[FEATURES], principal_map(mirrored, FEATURES).Z),
        (curved, by_network.Z),
    ):
        for axis in Z.T:
            correlations = table.corrwith(pd.Series(axis))
            assert correlations[correlations.abs().idxmax()] > 0


def test_of_two_features_followed_alike_the_first_leads() -> None:
    rng = np.random.default_rng(0)
    for rows in (rng.normal(size=(50, 2)) @ [[1, 0.5], [0, 1]] for _ in range(20)):
        table = pd.DataFrame((rows - rows.mean(axis=0)) / rows.std(axis=0), columns=["a", "b"])
        for axis in principal_map(table, ["a", "b"]).Z.T:
            assert np.corrcoef(axis, table["a"])[0, 1] > 0


@pytest.mark.filterwarnings("error")
def test_one_feature_and_features_that_do_not_vary_have_a_map() -> None:
    table = pd.DataFrame({"a": np.arange(100.0), "b": 1.0})
    alone = principal_map(table, ["a"])
    assert alone.explained == (1, 0)
    np.testing.assert_allclose(alone.Z[:, 0], table["a"] - table["a"].mean())
    assert (alone.Z[:, 1] == 0).all()
    both = principal_map(table, ["a", "b"])
    np.testing.assert_allclose(both.Z, alone.Z, atol=1e-9)
    cells = map_cells(alone.Z, pd.Series(["S01"] * 100), 5)
    assert cells["customers"].sum() == 98
    assert np.isfinite(cells["density"]).all()


def test_the_network_shows_more_of_curved_customers_than_components_do(
    by_network: Coordinates,
) -> None:
    network, components = by_network.explained
    assert 0.3 < components < 0.75
    assert components + 0.05 < network < 1


def test_the_networks_map_stands_on_its_principal_axes(by_network: Coordinates) -> None:
    Z = by_network.Z
    assert Z.shape == (600, 2)
    assert Z.mean(axis=0) == pytest.approx([0, 0], abs=1e-9)
    spread, together = np.diag(np.cov(Z.T)), np.cov(Z.T)[0, 1]
    assert spread[0] > spread[1]
    assert together == pytest.approx(0, abs=1e-9 * spread[0])


def test_the_network_learns_from_some_and_places_all(
    curved: pd.DataFrame, by_network: Coordinates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "FIT_ROWS", 200)
    some = network_map(curved, list(curved), seed=0)
    assert some.Z.shape == (600, 2)
    assert some.explained != by_network.explained
    other = network_map(curved, list(curved), seed=1)
    assert other.explained != some.explained


def test_the_order_of_rows_does_not_change_the_map(
    planted: tuple[pd.DataFrame, pd.Series],
    curved: pd.DataFrame,
    by_network: Coordinates,
) -> None:
    scaled, segment = planted
    order = np.random.default_rng(1).permutation(len(scaled))
    found, again = (principal_map(table, FEATURES) for table in (scaled, scaled.iloc[order]))
    np.testing.assert_allclose(again.Z, found.Z[order], atol=1e-9)
    few = np.random.default_rng(2).permutation(len(curved))
    learned = network_map(curved.iloc[few], list(curved), seed=0)
    np.testing.assert_allclose(learned.Z, by_network.Z[few], atol=1e-6)
    assert learned.explained == by_network.explained
    for described in (map_cells, map_centres):
        pd.testing.assert_frame_equal(
            described(found.Z[order], segment.iloc[order], 5), described(found.Z, segment, 5)
        )


def test_cells_count_the_customers_within() -> None:
    Z, segment = spread_out()
    cells = map_cells(Z, segment, 5)
    assert len(cells) > 50
    for _, cell in cells.iterrows():
        inside = in_cell(Z, cell)
        counts = segment[inside].value_counts()
        assert abs(inside.sum() - cell["customers"]) <= 1  # the last cell has its upper end, too
        assert counts[cell["segment"]] == counts.max()
        if not np.isnan(cell["share"]):
            assert cell["share"] == counts.max() / inside.sum()


def test_the_grid_lies_between_the_1_and_99_percent_quantiles() -> None:
    Z, segment = spread_out()
    cells = map_cells(Z, segment, 1)
    low, high = np.quantile(Z, [0.01, 0.99], axis=0)
    assert cells[["x_low", "y_low"]].min().to_numpy() == pytest.approx(low)
    assert cells[["x_high", "y_high"]].max().to_numpy() == pytest.approx(high)
    assert cells["customers"].sum() == ((low <= Z) & (high >= Z)).all(axis=1).sum()


def test_the_grid_is_finer_for_more_customers_up_to_a_bound() -> None:
    across = []
    for n in (300, 4000, 30_000, 60_000):
        cells = map_cells(*spread_out(n), 1)
        widths = [(cells[f"{a}_high"] - cells[f"{a}_low"]).iloc[0] for a in "xy"]
        spans = [cells[f"{a}_high"].max() - cells[f"{a}_low"].min() for a in "xy"]
        across.append(tuple(round(span / width) for span, width in zip(spans, widths, strict=True)))
    assert across[0][0] < across[1][0] < across[2][0] == across[3][0] == 60
    assert across[2][1] == 40
    assert across[1][0] * across[1][1] == pytest.approx(4000 / maps.PER_CELL, rel=0.05)


@pytest.mark.parametrize("min_cell", [2, 5, 12])
def test_no_cell_is_of_fewer_customers_than_allowed(min_cell: int) -> None:
    Z, segment = spread_out()
    every, allowed = map_cells(Z, segment, 1), map_cells(Z, segment, min_cell)
    assert allowed["customers"].min() == min_cell
    assert len(allowed) == (every["customers"] >= min_cell).sum()


def test_a_share_tells_of_no_few_customers() -> None:
    Z, segment = spread_out()
    cells = map_cells(Z, segment, 5)
    told = cells.dropna(subset="share")
    most = (told["share"] * told["customers"]).round()
    others = told["customers"] - most
    assert most.min() >= 5
    assert not others.between(1, 4).any()
    assert (others == 0).any()
    assert (others >= 5).any()
    of_three = pd.Series(["S01"] * 4 + ["S02"] * 4 + ["S03"] * 3)
    together = map_cells(np.zeros((11, 2)), of_three, 5)
    assert together["customers"].tolist() == [11]
    assert together["share"].isna().all()


def test_densities_are_shares_of_all_customers() -> None:
    Z, segment = spread_out()
    cells = map_cells(Z, segment, 5)
    area = (cells["x_high"] - cells["x_low"]) * (cells["y_high"] - cells["y_low"])
    shown = cells["customers"].sum() / len(Z)
    assert (cells["density"] * area).sum() == pytest.approx(shown)
    assert 0.5 < shown < 0.97
    np.testing.assert_allclose(cells["density"] * area * len(Z), cells["customers"])


def test_of_two_segments_with_as_many_customers_the_larger_has_the_cell() -> None:
    corners = np.repeat([[0.0, 0.0], [10.0, 10.0]], [8, 6], axis=0)
    segment = pd.Series(["S01"] * 4 + ["S02"] * 4 + ["S02"] * 6)
    assert map_cells(corners, segment, 5)["segment"].tolist() == ["S02", "S02"]
    swapped = segment.map({"S01": "S02", "S02": "S01"})
    assert map_cells(corners, swapped, 5)["segment"].tolist() == ["S01", "S01"]


def test_a_centre_is_the_median_of_each_coordinate() -> None:
    Z, segment = spread_out()
    centres = map_centres(Z, segment, 5).set_index("segment")
    assert centres.index.tolist() == ["S00", "S01", "S02"]
    for of, centre in centres.iterrows():
        members = Z[segment == of]
        assert centre[["x", "y"]].tolist() == np.median(members, axis=0).tolist()
        assert centre["customers"] == len(members)


def test_a_segment_of_few_has_no_centre() -> None:
    Z = np.arange(20.0).reshape(10, 2)
    segment = pd.Series(["S01"] * 5 + ["S02"] * 4 + ["S03"])
    assert map_centres(Z, segment, 5)["segment"].tolist() == ["S01"]
    assert map_centres(Z, segment, 4)["segment"].tolist() == ["S01", "S02"]


@pytest.mark.parametrize("described", [map_cells, map_centres])
def test_other_ids_are_the_same_map_under_other_names(
    described: Callable[..., pd.DataFrame],
) -> None:
    Z, segment = spread_out()
    names = {"S00": "S07", "S01": "S02", "S02": "S01"}
    renamed, found = described(Z, segment.map(names), 5), described(Z, segment, 5)
    expected = found.assign(segment=found["segment"].map(names))
    if described is map_centres:
        expected = expected.sort_values("segment", ignore_index=True)
    pd.testing.assert_frame_equal(renamed, expected)


@pytest.mark.parametrize("described", [map_cells, map_centres])
def test_customers_and_segments_are_matched_by_position(
    described: Callable[..., pd.DataFrame],
) -> None:
    Z, segment = spread_out(500)
    moved = segment.set_axis(np.random.default_rng(0).permutation(500))
    pd.testing.assert_frame_equal(described(Z, moved, 5), described(Z, segment, 5))


def test_no_id_of_a_customer_is_on_a_map(planted: tuple[pd.DataFrame, pd.Series]) -> None:
    scaled, segment = planted
    Z = principal_map(scaled, FEATURES).Z
    told = map_cells(Z, segment, 5).to_csv() + map_centres(Z, segment, 5).to_csv()
    assert not [one for one in scaled[ID] if one in told]
