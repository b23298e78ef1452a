"""Figures show what is in the finished table, and leave nothing behind."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks import figures
from tasks.figures_selection import draw_selection


def publication(k: int = 4, columns: int = 6, value: bool = True) -> pd.DataFrame:
    rng = np.random.default_rng(k)
    ids = [f"S{number:02d}" for number in range(1, k + 1)]
    share = np.linspace(2, 1, k) / np.linspace(2, 1, k).sum()
    medians = {f"COLUMN_{c}": rng.gamma(2, 10.0 ** (c % 4), k) for c in range(columns)}
    worth = share[::-1] if value else np.full(k, np.nan)
    return pd.DataFrame(
        {"segment": ids, "name": ids, "share": share, "value_share": worth, **medians}
    )


def candidates() -> pd.DataFrame:
    k = np.arange(2, 13)
    audited = (k > 2) & (k < 10)
    drawn = {"inertia": 1e5 / k, "silhouette": 0.2 + k / 1e3, "eta_squared": k / 20}
    plain = pd.DataFrame({"space": "none", "k": k, **drawn}).assign(
        inertia_null=2e5 / k,
        silhouette_null=0.1,
        survival=np.where(audited, 1 - k / 40, np.nan),
        resamples=np.where(audited, np.where(k < 8, 40, 12), np.nan),
    )
    return plain.assign(chosen=plain["k"] == 7)


def cells(columns: int = 5) -> pd.DataFrame:
    edges = np.linspace(0, 3, 11)
    one = pd.DataFrame(
        {
            "low": edges[:-1], "high": edges[1:], "axis_low": edges[:-1], "axis_high": edges[1:],
            "rows": 10, "density": 1 / 3,
        }
    )  # fmt: skip
    return pd.concat([one.assign(column=f"COLUMN_{c}") for c in range(columns)], ignore_index=True)


def missing() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "column": ["A", "B", "C"], "rows": pd.array([40, None, 0], dtype="Int64"),
            "share": [0.04, np.nan, 0.0], "shown": ["40", "< 5", "0"],
        }
    )  # fmt: skip


def correlations(n: int = 6) -> pd.DataFrame:
    names = [f"COLUMN_{c}" for c in range(n)]
    table = pd.DataFrame(np.eye(n), index=names, columns=names)
    return table.rename_axis("column").reset_index()


def curve() -> pd.DataFrame:
    epochs = np.arange(10)
    return pd.DataFrame(
        {"epoch": epochs, "training": 1 / (epochs + 1), "validation": 1.1 / (epochs + 1)}
    )


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return buffer.getvalue()


ALL: dict[str, Callable[[], Figure]] = {
    "missing": lambda: figures.draw_missing(missing()),
    "distributions": lambda: figures.draw_distributions(cells()),
    "correlations": lambda: figures.draw_correlations(correlations()),
    "selection": lambda: draw_selection(candidates(), 0.9, 40),
    "segments": lambda: figures.draw_segments(publication()),
    "profiles": lambda: figures.draw_profiles(
        publication(), [name for name in publication() if name.startswith("COLUMN")]
    ),
    "training": lambda: figures.draw_training(curve()),
}


@pytest.mark.parametrize("name", ALL)
def test_a_figure_is_a_picture_and_leaves_no_open_figure_behind(name: str) -> None:
    import matplotlib as mpl
    from matplotlib import pyplot

    figures_before, settings_before = pyplot.get_fignums(), dict(mpl.rcParams)
    assert png(ALL[name]()).startswith(b"\x89PNG")
    assert pyplot.get_fignums() == figures_before
    assert dict(mpl.rcParams) == settings_before


def test_figures_drawn_side_by_side_are_the_pictures_of_one_after_the_other() -> None:
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda name: png(ALL[name]()), [*ALL] * 2))
    assert together == [png(ALL[name]()) for name in ALL] * 2


def test_every_segment_has_a_bar_for_customers_and_one_for_value() -> None:
    (ax,) = figures.draw_segments(publication(k=5)).axes
    widths = [bar.get_width() for container in ax.containers for bar in container]
    assert sorted(widths) == pytest.approx(sorted([*publication(5)["share"]] * 2))


def test_segments_without_a_value_show_customers_only() -> None:
    (ax,) = figures.draw_segments(publication(k=3, value=False)).axes
    assert sum(len(container) for container in ax.containers) == 3


def drawn_lines(ax: Axes) -> list[np.ndarray]:
    return [line.get_xydata() for line in ax.lines]


def test_the_curves_show_every_candidate_the_null_and_mark_the_chosen() -> None:
    axes = draw_selection(candidates(), 0.9, 40).axes
    shown = ("inertia", "silhouette", "survival", "eta_squared")
    for ax, yardstick in zip(axes, shown, strict=True):
        wanted = candidates()[["k", yardstick]].dropna().to_numpy(float)
        lines = drawn_lines(ax)
        assert any(len(one) == len(wanted) and np.allclose(one, wanted) for one in lines)
        assert any(len(one) == 1 and one[0, 0] == 7 for one in lines)
    for ax, null in zip(axes[:2], ("inertia_null", "silhouette_null"), strict=True):
        assert np.allclose(drawn_lines(ax)[0][:, 1], candidates()[null])


def test_a_k_whose_resamples_were_stopped_is_hollow() -> None:
    survival = draw_selection(candidates(), 0.9, 40).axes[2]
    hollow = [line for line in survival.lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xdata().tolist() for line in hollow] == [[8, 9]]
    assert "stopped early" in [text.get_text() for text in survival.get_legend().get_texts()]


def test_where_every_k_was_stopped_every_one_is_hollow() -> None:
    table = candidates().assign(resamples=lambda t: t["resamples"].clip(upper=12))
    survival = draw_selection(table, 0.9, 40).axes[2]
    hollow = [line for line in survival.lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xdata().tolist() for line in hollow] == [list(range(3, 10))]


def test_a_chosen_candidate_of_another_space_is_marked_by_its_silhouette_only() -> None:
    plain = candidates()
    other = plain[plain["k"] == 7].assign(space="pca", silhouette=0.5, inertia=1.0)
    table = pd.concat([plain.assign(chosen=False), other], ignore_index=True)
    left, right, *_ = draw_selection(table, 0.9, 40).axes
    for ax, height in ((left, 1e5 / 7), (right, 0.5)):
        marked = drawn_lines(ax)[-1]
        assert marked.tolist() == [[7, pytest.approx(height)]]  # its inertia is on another scale
    assert [text.get_text() for text in right.texts] == ["k = 7, pca"]


def test_the_plain_rule_stands_beside_the_curves() -> None:
    rule = candidates().iloc[[0]].assign(space="plain rule", k=6, silhouette=0.3, chosen=False)
    _, right, *_ = draw_selection(pd.concat([candidates(), rule]), 0.9, 40).axes
    assert any(one.tolist() == [[6, 0.3]] for one in drawn_lines(right))


def test_where_nothing_was_chosen_nothing_is_marked() -> None:
    for ax in draw_selection(candidates().assign(chosen=False), 0.9, 40).axes:
        assert not ax.texts


def test_medians_are_written_and_coloured_from_the_lowest_to_the_highest_of_a_line() -> None:
    table = publication(k=3).assign(COLUMN_0=[0.0, 50.0, 100.0], COLUMN_1=12_345.0)
    (ax,) = figures.draw_profiles(table, ["COLUMN_0", "COLUMN_1"]).axes
    assert [text.get_text() for text in ax.texts] == ["0", "50", "100", *["12.3k"] * 3]
    colours = ax.collections[0].get_array()
    assert colours.tolist() == [[0, 0.5, 1], [0, 0, 0]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["S01", "S02", "S03"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Column 0", "Column 1"]


def test_each_pair_of_numbers_has_its_correlation_once() -> None:
    table = correlations(3)
    table.loc[1, "COLUMN_0"] = -0.25
    table.loc[2, ["COLUMN_0", "COLUMN_1"]] = [0.5, 1.0]
    (ax,) = figures.draw_correlations(table).axes
    assert [text.get_text() for text in ax.texts] == ["-25", "50", "100"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Column 0", "Column 1"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Column 1", "Column 2"]


def test_a_bar_that_would_leave_the_others_flat_is_cut_off_and_says_its_share() -> None:
    spiked = cells(1)
    spiked["density"] = np.r_[np.full(9, 0.1), 1.0] / 0.57
    (ax,) = figures.draw_distributions(spiked).axes
    assert ax.get_ylim()[1] < 1 / 0.57
    assert [text.get_text().strip() for text in ax.texts] == ["53%"]
    (even,) = figures.draw_distributions(cells(1)).axes
    assert even.get_ylim()[1] > 1 / 3
    assert not even.texts


def test_missing_values_are_bars_by_share_and_few_of_them_have_no_length() -> None:
    (ax,) = figures.draw_missing(missing()).axes
    _, bars = ax.containers
    assert [bar.get_width() for bar in bars] == [0.04, 0]
    assert [text.get_text() for text in ax.texts] == ["40 (4.0%)", "< 5"]


def test_training_is_drawn_beside_pca() -> None:
    (ax,) = figures.draw_training(curve()).axes
    pca, training, held_out = ax.lines
    assert set(pca.get_ydata()) == {1.1}
    np.testing.assert_array_equal(training.get_ydata(), curve()["training"])
    np.testing.assert_array_equal(held_out.get_ydata(), curve()["validation"])


@pytest.mark.parametrize("name", ["$x^", "5 $ and 6 $", r"$\frac$ \$", "a" * 300, "word " * 60])
def test_any_name_is_written_as_it_is(name: str) -> None:
    table = publication(k=2).assign(name=[name, "other"]).rename(columns={"COLUMN_0": name})
    assert png(figures.draw_segments(table))
    assert png(figures.draw_profiles(table, [name]))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.0833, "0.083"), (-4.25, "-4.2"), (9.96, "10"), (99.7, "100"), (9_999, "9,999"),
     (12_345, "12.3k"), (2_500_000, "2.5M"), (3e9, "3bn")],
)  # fmt: skip
def test_numbers_are_short(value: float, shown: str) -> None:
    (ax,) = figures.draw_profiles(publication(k=1).assign(x=value), ["x"]).axes
    assert [text.get_text() for text in ax.texts] == [shown]


def test_there_is_a_panel_per_number() -> None:
    shown = [ax for ax in figures.draw_distributions(cells(17)).axes if ax.patches]
    assert len(shown) == 17


@pytest.mark.parametrize("k, columns", [(1, 1), (12, 40)])
def test_few_and_many_segments_and_columns_fit(k: int, columns: int) -> None:
    table = publication(k, columns)
    names = [name for name in table if name.startswith("COLUMN")]
    assert png(figures.draw_profiles(table, names))
    assert png(figures.draw_segments(table))
    assert png(figures.draw_correlations(correlations(columns)))


def test_nothing_missing_is_said_in_words() -> None:
    nothing = missing().assign(rows=pd.array([0, 0, 0], dtype="Int64"), share=0.0, shown="0")
    (ax,) = figures.draw_missing(nothing).axes
    assert [text.get_text() for text in ax.texts if text.get_text()]
    assert not ax.patches
