"""Who moved is drawn as it is in the table, but for groups of a few."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.text import Text

from tasks.figures_changes import CAUSES, draw_causes, draw_migration, flows
from tasks.keeping import keep
from tasks.palette import COLOURS, NEUTRAL

NAMES = {"S01": "Spenders", "S02": "Dormant", "S03": "New"}
COLOURS_OF = {"S01": COLOURS[0], "S02": COLOURS[1], "S03": COLOURS[2]}


def matrix(*lines: tuple[str | None, bool | None, str | None, str, int]) -> pd.DataFrame:
    table = pd.DataFrame(
        lines, columns=["previous", "was_assessed", "segment", "status", "customers"]
    )
    return table.astype({"was_assessed": "boolean"})


def month(movers: int = 20) -> pd.DataFrame:
    return matrix(
        ("S01", True, "S01", "stayed", 500), ("S01", True, "S02", "moved", movers),
        ("S02", True, "S02", "stayed", 280), ("S02", True, None, "left", 30),
        ("S02", True, "S02", "not_assessed", 15), ("S02", False, "S01", "moved", 25),
        (None, False, "S02", "moved", 40), (None, None, "S01", "joined", 60),
    )  # fmt: skip


def drawn(table: pd.DataFrame, min_cell: int = 5) -> Axes:
    (ax,) = draw_migration(table, NAMES, COLOURS_OF, min_cell).axes
    return ax


def ribbons(ax: Axes) -> list[PathPatch]:
    return [patch for patch in ax.patches if isinstance(patch, PathPatch)]


def width(ribbon: PathPatch) -> float:
    heights = ribbon.get_path().vertices[:, 1]
    return float(heights[-2] - heights[0])


def blocks(ax: Axes) -> list[Rectangle]:
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def written(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_customers_are_counted_by_where_they_were_and_where_they_are() -> None:
    counts = flows(month())
    assert list(counts.index) == ["S01", "S02", "joined", "not assessed"]
    assert list(counts.columns) == ["S01", "S02", "left", "not assessed"]
    assert counts.to_numpy().tolist() == [
        [500, 20, 0, 0], [0, 280, 30, 15], [60, 0, 0, 0], [25, 40, 0, 0],
    ]  # fmt: skip


def test_a_ribbon_is_as_wide_as_its_part_of_all_customers() -> None:
    told = [500, 20, 280, 30, 15, 60, 25, 40]
    found = [width(one) for one in ribbons(drawn(month()))]
    np.testing.assert_allclose(sorted(found), np.sort(told) / sum(told))


def test_ribbons_have_the_colour_of_where_they_come_from_and_who_stayed_is_pale() -> None:
    shown = {round(width(one) * 970): one for one in ribbons(drawn(month()))}
    assert to_hex(shown[20].get_facecolor()) == COLOURS[0]
    assert to_hex(shown[30].get_facecolor()) == COLOURS[1]
    assert {to_hex(shown[n].get_facecolor()) for n in (60, 25, 40)} == {NEUTRAL}
    stayed, moved = ({shown[n].get_alpha() for n in group} for group in ((500, 280), (20, 30, 25)))
    assert max(stayed) < 0.5 < min(moved)


def test_a_ribbon_begins_and_ends_within_its_blocks() -> None:
    ax = drawn(month())
    was, now = blocks(ax)[:4], blocks(ax)[4:]
    assert {one.get_x() for one in was} == {0}
    assert {one.get_x() + one.get_width() for one in now} == {1}
    assert [round(970 * one.get_height()) for one in was] == [520, 325, 60, 65]
    assert [round(970 * one.get_height()) for one in now] == [585, 340, 30, 15]
    for at, side in ((0, was), (3, now)):
        for block in side:
            ends = [
                (one.get_path().vertices[at, 1], width(one))
                for one in ribbons(ax)
                if block.get_y() - 1e-9 <= one.get_path().vertices[at, 1]
                and one.get_path().vertices[at, 1] < block.get_y() + block.get_height() - 1e-9
            ]
            ends.sort()
            assert sum(wide for _, wide in ends) == pytest.approx(block.get_height())
            steps = np.cumsum([block.get_y(), *(wide for _, wide in ends)])
            np.testing.assert_allclose([start for start, _ in ends], steps[:-1])


def test_a_small_group_is_not_drawn_nor_what_would_give_it_away() -> None:
    whole, few = drawn(month()), drawn(month(movers=3))
    shown = {round(width(one) * 953) for one in ribbons(few)}
    assert 3 not in shown
    assert len(ribbons(few)) <= len(ribbons(whole)) - 3
    assert any("Groups of a few are not drawn" in text for text in written(few.figure))
    assert not any("Groups of a few are not drawn" in text for text in written(whole.figure))


@pytest.mark.parametrize(
    "few", [(None, None, "S03", "joined", 3), ("S03", True, "S01", "moved", 3)]
)
def test_a_small_block_has_no_height(few: Any) -> None:
    table = pd.concat([month(), matrix(few)], ignore_index=True)
    heights = {round(block.get_height() * 973) for block in blocks(drawn(table))}
    assert 0 in heights
    assert 3 not in heights


def test_a_block_whose_total_is_not_told_holds_all_that_is_drawn_of_it() -> None:
    stays = [(one, True, one, "stayed", 300) for one in ("S01", "S02", "S03")]
    ax = drawn(matrix(*stays, ("S01", True, "S02", "moved", 2)))
    drawn_in_all = sum(width(ribbon) for ribbon in ribbons(ax))
    assert drawn_in_all > 0.5
    for is_left in (True, False):
        side = [one.get_height() for one in blocks(ax) if (one.get_x() < 0.5) == is_left]
        assert sum(side) >= drawn_in_all - 1e-9


def test_segments_go_by_their_names_and_one_that_is_gone_by_its_id() -> None:
    gone = matrix(("S09", True, "S01", "moved", 50), ("S01", True, "S01", "stayed", 50))
    ax = drawn(gone)
    assert "Spenders" in written(ax.figure)
    assert "S09" in written(ax.figure)
    assert to_hex(ribbons(ax)[1].get_facecolor()) == NEUTRAL


def test_names_of_the_ends_are_no_segments() -> None:
    told = written(drawn(month()).figure)
    assert [told.count(end) for end in ("joined", "left", "not assessed")] == [1, 1, 2]


def test_nobody_to_compare_with_is_said_in_words() -> None:
    assert "There is nobody to compare with." in written(drawn(month()[:0]).figure)


@pytest.mark.parametrize("k", [2, 12])
@pytest.mark.filterwarnings("error")
def test_few_and_many_segments_with_any_name_have_a_small_picture(k: int, tmp_path: Any) -> None:
    ids = [f"S{n:02d}" for n in range(1, k + 1)]
    lines = [(a, True, b, "stayed" if a == b else "moved", 9) for a in ids for b in ids]
    lines.append(("S01", True, "S01", "stayed", 30_000))  # the others have hardly any height
    odd = dict(zip(ids, ["$x^", "客户" * 30, "<b>\n\x00", "a" * 900] * 3, strict=False))
    figure = draw_migration(matrix(*lines), odd, {}, 5)
    keep(tmp_path / "one.svg", figure)
    assert (tmp_path / "one.svg").stat().st_size < 150_000
    ax = figure.axes[0]
    names = [text for text in ax.texts if text.get_ha() == "right" and text.xy[1] > 0]
    lines_of_text = np.diff(sorted(ax.transData.transform(text.xy)[1] for text in names))
    assert lines_of_text.min() * 72 / figure.dpi > 11


def changes(**facts: Any) -> dict[str, Any]:
    causes = {"correction": 0, "refit": 20, "boundary": 30, "behaviour": 50}
    noise = {"kind": "boundary", "share": 0.02}
    return {"stayed": 900, "moved": 100, "causes": causes, "noise": noise} | facts


def bars(figure: Figure) -> list[tuple[str, float, float]]:
    """Colour, start and width of each part of both bars."""
    return [
        (to_hex(bar.get_facecolor(), keep_alpha=False), bar.get_x(), round(bar.get_width(), 9))
        for bar in blocks(figure.axes[0])
    ]


def test_moves_are_stacked_by_cause_over_what_noise_would_do() -> None:
    figure = draw_causes(changes(), 5)
    *parts, noise = bars(figure)
    wanted = [("behaviour", 0.05), ("boundary", 0.03), ("refit", 0.02)]
    assert [(color, size) for color, _, size in parts] == [(CAUSES[c], n) for c, n in wanted]
    np.testing.assert_allclose([start for _, start, _ in parts], [0, 0.05, 0.08])
    assert noise[1:] == (0, 0.02)
    told = written(figure)
    assert "10.0% moved" in told
    assert any(text.startswith("2.0% would") for text in told)
    assert {"behaviour 50", "boundary 30", "refit 20"} <= set(told)
    assert not any("correction" in text for text in told)


def test_a_small_cause_is_not_told_apart_from_another() -> None:
    causes = {"correction": 0, "refit": 3, "boundary": 30, "behaviour": 67}
    figure = draw_causes(changes(causes=causes), 5)
    assert [size for _, _, size in bars(figure)[:-1]] == [0.067, 0.033]
    told = written(figure)
    assert "not told apart 33" in told
    assert not any("refit" in text or text.startswith("boundary") for text in told)


def test_without_a_noise_floor_there_is_one_bar() -> None:
    for noise in (None, {"kind": "refit", "share": None}):
        assert len(bars(draw_causes(changes(noise=noise), 5))) == 3


def test_where_nobody_or_a_few_have_moved_that_is_said_in_words() -> None:
    nothing = dict.fromkeys(CAUSES, 0)
    still = draw_causes(changes(moved=0, stayed=1000, causes=nothing), 5)
    assert "Nobody has moved." in written(still)
    few = draw_causes(changes(moved=3, stayed=997, causes=nothing | {"refit": 3}), 5)
    assert "< 5 have moved." in written(few)
    assert not bars(still) + bars(few)
