"""Figures show what is in the finished table, and leave nothing behind."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from tasks import figures
from tasks.drawing import DARK, LIGHT, PAPER, heat_map, panels, shades, wrapped
from tasks.figures_notebook import draw_notebook
from tasks.figures_selection import draw_selection
from tasks.keeping import keep
from tasks.palette import COLOURS, NEUTRAL


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


def differences() -> pd.DataFrame:
    effects = [0.9, -0.8, 0.7, -0.6, 0.5, 0.1]
    one = pd.DataFrame(
        {
            "column": [f"COLUMN_{c}" for c in range(6)], "median": [0.75, 12_345, 7, 0, np.nan, 1],
            "elsewhere": [0.25, 20, 12, 0.5, 3, 2], "effect": effects,
        }
    )  # fmt: skip
    return pd.concat([one.assign(segment="S01"), one.assign(segment="S02", effect=0.3)])


KINDS = {"COLUMN_0": "share", "COLUMN_2": "months"}


def colours(k: int = 12) -> dict[str, str]:
    return {f"S{number + 1:02d}": COLOURS[number] for number in range(k)}


def notebook() -> tuple[pd.DataFrame, pd.DataFrame]:
    k = np.arange(2, 10)
    curve = pd.DataFrame({"k": k, "inertia": 1e4 / k, "silhouette": k / 20})
    curves = pd.concat([curve.assign(space=space) for space in ("none", "autoencoder")])
    place = {"width": 0.5, "explained_x": 0.3, "explained_y": 0.2}
    parts = [
        pd.DataFrame({"segment": s, "x": [s, np.nan], "y": 1.0, "customers": [9.0, 20], **place})
        for s in range(2)
    ]
    return curves, pd.concat(parts, ignore_index=True)


def written(figure: Figure) -> list[str]:
    """Every text in a figure, but the empty ones."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return buffer.getvalue()


ALL: dict[str, Callable[[], Figure]] = {
    "missing": lambda: figures.draw_missing(missing()),
    "distributions": lambda: figures.draw_distributions(cells()),
    "correlations": lambda: figures.draw_correlations(correlations()),
    "selection": lambda: draw_selection(candidates(), 0.9, 40),
    "segments": lambda: figures.draw_segments(publication(), colours()),
    "profiles": lambda: figures.draw_profiles(
        publication(), [name for name in publication() if name.startswith("COLUMN")], colours()
    ),
    "card": lambda: figures.draw_card(differences(), "S01", COLOURS[0], KINDS),
    "notebook": lambda: draw_notebook(*notebook()),
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
    names = ["segments", "card", "training"]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda name: png(ALL[name]()), names * 2))
    assert together == [png(ALL[name]()) for name in names] * 2


def test_every_segment_has_a_bar_for_customers_and_one_for_value() -> None:
    (ax,) = figures.draw_segments(publication(k=5), colours()).axes
    customers, value = ([bar.get_width() for bar in container] for container in ax.containers)
    assert customers == pytest.approx([*publication(5)["share"]])
    assert value == pytest.approx([*publication(5)["value_share"]])


def test_bars_have_their_segments_colours_and_the_largest_segment_is_on_top() -> None:
    table = publication(k=3).assign(share=[0.2, 0.5, 0.3])
    known = {"S01": COLOURS[4], "S02": COLOURS[7]}
    (ax,) = figures.draw_segments(table, known).axes
    for container in ax.containers:
        assert [to_hex(bar.get_facecolor()) for bar in container] == [
            COLOURS[7],
            NEUTRAL,
            COLOURS[4],
        ]
        heights = [bar.get_y() for bar in container]
        assert heights == sorted(heights, reverse=True)
    names = [text for text in written(ax.figure) if text in set(table["name"])]
    assert names == ["S02", "S03", "S01"]


def test_segments_without_a_value_show_customers_only() -> None:
    (ax,) = figures.draw_segments(publication(k=3, value=False), colours()).axes
    assert sum(len(container) for container in ax.containers) == 3


def test_a_share_that_is_not_told_has_no_bar_and_comes_last() -> None:
    table = publication(k=3)
    hidden = table.assign(share=[np.nan, 0.5, 0.3], value_share=[np.nan, 0.5, 0.3])
    (ax,) = figures.draw_segments(hidden, colours()).axes
    assert [bar.get_width() for bar in ax.containers[0]] == [0.5, 0.3, 0]
    assert written(ax.figure).count("not told") == 2


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


def hollow(ax: Axes) -> list[Line2D]:
    lines = [line for line in ax.lines if line.get_markerfacecolor() == PAPER]
    return [line for line in lines if len(line.get_xdata())]


def test_a_k_whose_resamples_were_stopped_is_hollow() -> None:
    survival = draw_selection(candidates(), 0.9, 40).axes[2]
    assert [line.get_xdata().tolist() for line in hollow(survival)] == [[8, 9]]
    assert "stopped early" in [text.get_text() for text in survival.texts]
    whole = candidates().assign(resamples=lambda t: t["resamples"].clip(lower=40))
    survival = draw_selection(whole, 0.9, 40).axes[2]
    assert "stopped early" not in [text.get_text() for text in survival.texts]


def test_where_every_k_was_stopped_every_one_is_hollow() -> None:
    table = candidates().assign(resamples=lambda t: t["resamples"].clip(upper=12))
    survival = draw_selection(table, 0.9, 40).axes[2]
    assert [line.get_xdata().tolist() for line in hollow(survival)] == [list(range(3, 10))]


def test_a_chosen_candidate_of_another_space_is_marked_by_its_silhouette_only() -> None:
    plain = candidates()
    other = plain[plain["k"] == 7].assign(space="pca", silhouette=0.5, inertia=1.0)
    table = pd.concat([plain.assign(chosen=False), other], ignore_index=True)
    left, right, *_ = draw_selection(table, 0.9, 40).axes
    for ax, height in ((left, 1e5 / 7), (right, 0.5)):
        marked = drawn_lines(ax)[-1]
        assert marked.tolist() == [[7, pytest.approx(height)]]  # its inertia is on another scale
    assert "k = 7, pca" in [text.get_text() for text in right.texts]
    assert "k = 7" in [text.get_text() for text in left.texts]


def test_the_plain_rule_stands_beside_the_curves() -> None:
    rule = candidates().iloc[[0]].assign(space="plain rule", k=6, silhouette=0.3, chosen=False)
    _, right, *_ = draw_selection(pd.concat([candidates(), rule]), 0.9, 40).axes
    assert any(one.tolist() == [[6, 0.3]] for one in drawn_lines(right))
    assert "the plain rule" in [text.get_text() for text in right.texts]


def test_where_nothing_was_chosen_nothing_is_marked() -> None:
    for ax in draw_selection(candidates().assign(chosen=False), 0.9, 40).axes:
        assert not any("k =" in text.get_text() for text in ax.texts)


def test_medians_are_written_and_coloured_from_the_lowest_to_the_highest_of_a_line() -> None:
    table = publication(k=3).assign(COLUMN_0=[0.0, 50.0, 100.0], COLUMN_1=12_345.0)
    (ax,) = figures.draw_profiles(table, ["COLUMN_0", "COLUMN_1"]).axes
    told = ["0", "50", "100", *["12.3k"] * 3, "Column 0", "Column 1"]
    assert [text.get_text() for text in ax.texts] == told
    assert ax.collections[0].get_array().tolist() == [[0, 0.5, 1], [0, 0, 0]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["S01", "S02", "S03"]
    lines = [text.get_position()[1] for text in ax.texts[:6:3]]
    assert ax.transData.transform((0, lines[0]))[1] > ax.transData.transform((0, lines[1]))[1]


def test_a_median_that_is_not_told_has_an_empty_cell() -> None:
    table = publication(k=3).assign(COLUMN_0=[0.0, np.nan, 100.0])
    (ax,) = figures.draw_profiles(table, ["COLUMN_0"]).axes
    assert [text.get_text() for text in ax.texts] == ["0", "100", "Column 0"]
    assert ax.collections[0].get_array().mask.tolist() == [[False, True, False]]


def test_over_its_medians_a_segment_has_its_colour() -> None:
    (ax,) = figures.draw_profiles(publication(k=3), ["COLUMN_0"], colours(2)).axes
    assert [to_hex(chip.get_facecolor()) for chip in ax.patches] == [*COLOURS[:2], NEUTRAL]


@pytest.mark.parametrize(("k", "angle"), [(7, 0), (8, 35)])
def test_many_names_are_turned_to_have_room(k: int, angle: float) -> None:
    table = publication(k).assign(name="customers of a kind that is long")
    (ax,) = figures.draw_profiles(table, ["COLUMN_0"]).axes
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {angle}
    lines = {label.get_text().count("\n") + 1 for label in ax.get_xticklabels()}
    assert lines == ({1} if angle else {3})


def test_a_number_is_light_on_a_dark_cell_and_dark_on_a_light_one() -> None:
    _, (ax,) = panels(1, 1, 2)
    heat_map(ax, np.array([[0.0, 1.0]]), shades("#ffffff", "#0b4f5b"), np.array([["a", "b"]]))
    assert [text.get_color() for text in ax.texts] == [DARK, LIGHT]


def test_a_card_shows_the_five_strongest_differences_of_its_segment() -> None:
    figure = figures.draw_card(differences(), "S01", COLOURS[3], KINDS)
    (ax,) = figure.axes
    *_, bars = ax.containers
    assert [bar.get_width() for bar in bars] == [0.9, -0.8, 0.7, -0.6, 0.5]
    assert {to_hex(bar.get_facecolor()) for bar in bars} == {COLOURS[3]}
    assert [bar.get_y() for bar in bars] == sorted((bar.get_y() for bar in bars), reverse=True)
    told = written(figure)
    assert "Column 0" in told
    assert "Column 5" not in told
    assert "75% against 25%" in told
    assert "12.3k against 20" in told
    assert "7 months against 12 months" in told
    assert "unknown against 3" in told


def test_a_card_of_a_segment_that_may_not_be_told_of_says_so() -> None:
    figure = figures.draw_card(differences(), "S09", COLOURS[3], KINDS)
    assert written(figure) == ["Too small to be told of."]
    assert not figure.axes[0].patches


def test_each_pair_of_numbers_has_its_correlation_once() -> None:
    table = correlations(3)
    table.loc[1, "COLUMN_0"] = -0.25
    table.loc[2, ["COLUMN_0", "COLUMN_1"]] = [0.5, 1.0]
    (ax,) = figures.draw_correlations(table).axes
    told = ["-25", "50", "100", "Column 1", "Column 2"]
    assert [text.get_text() for text in ax.texts] == told
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Column 0", "Column 1"]
    cells = ax.collections[0].get_array()
    np.testing.assert_allclose(cells.compressed(), [0.375, 0.75, 1])
    assert cells.mask.tolist() == [[False, True], [False, False]]


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
    assert [text.get_text() for text in ax.texts] == ["40 (4.0%)", "< 5", "A", "B"]


def test_training_is_drawn_beside_pca() -> None:
    (ax,) = figures.draw_training(curve()).axes
    pca, training, held_out = ax.lines
    assert set(pca.get_ydata()) == {1.1}
    np.testing.assert_array_equal(training.get_ydata(), curve()["training"])
    np.testing.assert_array_equal(held_out.get_ydata(), curve()["validation"])
    away = {text.get_text(): text.xyann[1] for text in ax.texts}
    assert away["held out"] > 0 > away["training"]


HOSTILE = [
    "$x^", "5 $ and 6 $", r"$\frac$ \$", "a" * 300, "word " * 60, "<script>alert(1)</script>",
    "a\nb\tc\x00\x1f", "\u202ertl", "客户细分" * 20, "عملاء ذوو قيمة عالية", "",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("error")
def test_any_name_is_written_as_it_is_in_a_picture_that_can_be_read(
    name: str, tmp_path: Path
) -> None:
    table = publication(k=2).assign(name=[name, "other"]).rename(columns={"COLUMN_0": name})
    found = differences().assign(column=name)
    for number, figure in enumerate(
        (
            figures.draw_segments(table, colours()),
            figures.draw_profiles(table, [name], colours()),
            figures.draw_card(found, "S01", COLOURS[0], {}),
        )
    ):
        for suffix in ("svg", "png"):
            keep(tmp_path / f"{number}.{suffix}", figure)
        ElementTree.fromstring((tmp_path / f"{number}.svg").read_bytes())


def test_a_name_stands_in_the_picture_letter_by_letter(tmp_path: Path) -> None:
    table = publication(k=2).assign(name=["5 $ and <b> & 客户", "other"])
    keep(tmp_path / "one.svg", figures.draw_segments(table, colours()))
    assert "5 $ and &lt;b&gt; &amp; 客户" in (tmp_path / "one.svg").read_text()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("one two three", ["one two", "three"]), ("a" * 25, ["a" * 10, "a" * 9 + "…"]),
        ("客户客户客户客户", ["客户客户客", "户客户"]), ("a\n b\x00c\ud800", ["a b c"]),
        ("one two three four five", ["one two", "three…"]), ("5 $", [r"5 \$"]), ("", [""]),
    ],
)  # fmt: skip
def test_a_long_name_has_two_lines_and_a_wide_letter_counts_for_two(
    name: str, lines: list[str]
) -> None:
    assert wrapped(name, 10).split("\n") == lines
    assert wrapped(name, 10, lines=1).count("\n") == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.0833, "0.083"), (-4.25, "-4.2"), (9.96, "10"), (99.7, "100"), (9_999, "9,999"),
     (12_345, "12.3k"), (2_500_000, "2.5M"), (3e9, "3bn")],
)  # fmt: skip
def test_numbers_are_short(value: float, shown: str) -> None:
    (ax,) = figures.draw_profiles(publication(k=1).assign(x=value), ["x"]).axes
    assert ax.texts[0].get_text() == shown


def test_there_is_a_panel_per_number() -> None:
    shown = [ax for ax in figures.draw_distributions(cells(17)).axes if ax.patches]
    assert len(shown) == 17


@pytest.mark.parametrize("k, columns", [(1, 1), (12, 40)])
def test_few_and_many_segments_and_columns_fit(k: int, columns: int) -> None:
    table = publication(k, columns)
    names = [name for name in table if name.startswith("COLUMN")]
    assert png(figures.draw_profiles(table, names, colours()))
    assert png(figures.draw_segments(table, colours()))
    assert png(figures.draw_correlations(correlations(columns)))


def test_nothing_missing_is_said_in_words() -> None:
    nothing = missing().assign(rows=pd.array([0, 0, 0], dtype="Int64"), share=0.0, shown="0")
    (ax,) = figures.draw_missing(nothing).axes
    assert [text.get_text() for text in ax.texts if text.get_text()]
    assert not ax.patches


def test_no_figure_is_large(tmp_path: Path) -> None:
    for name, draw in ALL.items():
        keep(tmp_path / f"{name}.svg", draw())
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 150_000


def test_the_notebooks_map_shows_a_segment_on_everyone_and_tells_how_many_it_hides() -> None:
    figure = draw_notebook(*notebook())
    first = figure.axes[4]
    assert [len(part.get_paths()) for part in first.collections] == [2, 1]
    assert all(part.get_rasterized() for part in first.collections)
    assert "20 not shown" in written(figure)
