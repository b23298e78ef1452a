"""Figures show what is in the finished table, and leave nothing behind."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tasks import figures


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
    plain = pd.DataFrame({"space": "none", "k": k, "inertia": 1e5 / k, "silhouette": 0.2 + k / 1e3})
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
    "selection": lambda: figures.draw_selection(candidates()),
    "segments": lambda: figures.draw_segments(publication()),
    "profiles": lambda: figures.draw_profiles(
        publication(), [name for name in publication() if name.startswith("COLUMN")]
    ),
    "training": lambda: figures.draw_training(curve()),
}


@pytest.mark.parametrize("name", ALL)
def test_a_figure_is_a_picture_and_leaves_no_open_figure_behind(name: str) -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    assert png(ALL[name]()).startswith(b"\x89PNG")
    assert pyplot.get_fignums() == before


def test_the_same_figure_drawn_in_four_threads_is_the_same_picture() -> None:
    with ThreadPoolExecutor(4) as pool:
        drawn = set(pool.map(lambda _: png(ALL["selection"]()), range(4)))
    assert drawn == {png(ALL["selection"]())}


def test_every_segment_has_a_bar_for_customers_and_one_for_value() -> None:
    (ax,) = figures.draw_segments(publication(k=5)).axes
    widths = [bar.get_width() for container in ax.containers for bar in container]
    assert sorted(widths) == pytest.approx(sorted([*publication(5)["share"]] * 2))


def test_segments_without_a_value_show_customers_only() -> None:
    (ax,) = figures.draw_segments(publication(k=3, value=False)).axes
    assert sum(len(container) for container in ax.containers) == 3


def test_the_curves_show_every_candidate_and_mark_the_chosen() -> None:
    left, right = figures.draw_selection(candidates()).axes
    for ax, yardstick in ((left, "inertia"), (right, "silhouette")):
        drawn = [line.get_xydata() for line in ax.lines]
        whole = next(points for points in drawn if len(points) == 11)
        assert whole[:, 1] == pytest.approx(candidates()[yardstick])
        assert any((points[:, 0] == 7).all() for points in drawn)


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
