"""Maps are drawn as density: full cells strong, names readable, no customer seen."""

import io
import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tasks import figures_maps
from tasks.figures_maps import (
    FAINTEST,
    components_caption,
    draw_map,
    draw_map_of,
    network_caption,
    places_of,
)
from tasks.maps import map_cells, map_centres

CAPTION = components_caption((0.31, 0.227))
BLUE, RED, GREEN = "#0072b2", "#d55e00", "#009e73"
COLOURS = {"S01": BLUE, "S02": RED, "S03": GREEN}
NAMES = {"S01": "Dormant", "S02": "S02", "S03": "Cash-advance revolvers"}


def cells_of(*lines: tuple[int, int, str, float, float]) -> pd.DataFrame:
    """Cells of width 2 and height 0.5 at these places, with segment, share and density."""
    table = pd.DataFrame(lines, columns=["x", "y", "segment", "share", "density"])
    return table.assign(
        x_low=2.0 * table["x"], x_high=2.0 * table["x"] + 2, y_low=table["y"] / 2,
        y_high=table["y"] / 2 + 0.5, customers=10,
    )  # fmt: skip


CELLS = cells_of(
    (0, 0, "S01", 1, 0.02), (1, 0, "S01", 1, 0.32), (3, 0, "S02", 0.5, 0.08),
    (3, 2, "S03", np.nan, 0.08),
)  # fmt: skip
CENTRES = pd.DataFrame(
    {"segment": list(COLOURS), "x": [1.0, 7, 7], "y": [0.25, 0.25, 1.25], "customers": 30}
)


def picture_of(figure: Figure) -> np.ndarray:
    """The cells as drawn, (n_y, n_x, rgba), from the lower left."""
    (image,) = figure.axes[0].images
    return np.asarray(image.get_array())


def texts_of(figure: Figure) -> list[str]:
    ax = figure.axes[0]
    return [text.get_text() for text in (*ax.texts, ax.xaxis.label, ax.yaxis.label)]


def boxes_of(figure: Figure) -> dict[tuple[float, ...], tuple[float, float]]:
    """Where the middle of each name's box is, by the colour of its edge."""
    return {
        box.get_edgecolor()[:3]: (
            box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2
        )
        for box in figure.axes[0].patches
    }  # fmt: skip


def drawn(
    cells: pd.DataFrame = CELLS, centres: pd.DataFrame = CENTRES, names: dict[str, str] = NAMES
) -> Figure:
    return draw_map(cells, centres, CAPTION, COLOURS, names)


def test_each_cell_is_drawn_in_its_segments_colour_at_its_place() -> None:
    picture = picture_of(drawn())
    assert picture.shape == (5, 6, 4)  # three by four, and an empty cell around
    np.testing.assert_allclose(picture[1, 1, :3], to_rgb(BLUE))
    np.testing.assert_allclose(picture[1, 2, :3], to_rgb(BLUE))
    filled = np.argwhere(picture[..., 3] > 0)
    assert filled.tolist() == [[1, 1], [1, 2], [1, 4], [3, 4]]
    (image,) = drawn().axes[0].images
    assert image.get_extent() == [-2, 10, -0.5, 2]
    assert image.origin == "lower"


def test_fuller_cells_are_stronger_and_none_is_invisible() -> None:
    opacity = picture_of(drawn())[..., 3]
    assert FAINTEST < opacity[1, 1] < opacity[1, 4] < opacity[1, 2] == 1
    assert opacity[1, 4] == opacity[3, 4]
    nearly_empty = picture_of(drawn(CELLS.assign(density=[1e-9, 1, 1, 1])))
    assert nearly_empty[1, 1, 3] == pytest.approx(FAINTEST, abs=0.01)


def test_cells_that_segments_share_are_greyer() -> None:
    def distance(place: tuple[int, int], colour: str) -> float:
        return float(np.abs(picture_of(drawn())[place][:3] - to_rgb(colour)).max())

    assert distance((1, 2), BLUE) == pytest.approx(0)
    assert distance((1, 4), RED) > 0.1
    assert 0 < distance((3, 4), GREEN) < 0.2  # not told


def test_segments_are_named_at_their_centres() -> None:
    boxes = boxes_of(drawn())
    for _, centre in CENTRES.iterrows():
        middle = boxes[to_rgb(COLOURS[centre["segment"]])]
        assert middle == pytest.approx((centre["x"], centre["y"]))
    lines = ["S01", "Dormant", "S02", "S03", "Cash-advance", "revolvers"]
    assert [text for text in texts_of(drawn()) if text in lines] == lines
    for text in drawn().axes[0].texts:
        if text.get_text() in ("S01", "Dormant"):
            assert text.xy == pytest.approx((1, 0.25))


def test_a_name_that_had_to_move_points_to_its_centre() -> None:
    close = CENTRES.assign(x=[4.0, 4, 4], y=[0.7, 0.72, 0.74])
    figure = drawn(centres=close)
    middles = list(boxes_of(figure).values())
    assert middles[0][1] < 0.7 < 0.74 < middles[2][1]
    (name,) = [text for text in figure.axes[0].texts if text.get_text() == "S02"]
    assert name.xy == pytest.approx(middles[1])
    assert middles[1] != (4, 0.72)
    ends = [line.get_xydata() for line in figure.axes[0].lines]
    np.testing.assert_allclose([end[0] for end in ends], close[["x", "y"]])
    np.testing.assert_allclose([end[1] for end in ends], middles)


def test_a_centre_off_the_map_is_named_within() -> None:
    figure = drawn(centres=CENTRES.assign(x=[-50.0, 7, 7]))
    assert figure.axes[0].lines[0].get_xydata()[0].tolist() == [-2, 0.25]
    (x, _) = boxes_of(figure)[to_rgb(BLUE)]
    assert -2 < x < 1


def test_longer_names_have_larger_boxes_and_wide_letters_count_twice() -> None:
    names = {"S01": "ab" * 6, "S02": "abcdef", "S03": "顧客顧客顧客"}
    twelve, six, wide = (box.get_width() for box in drawn(names=names).axes[0].patches)
    assert six < twelve == wide


def test_what_a_map_shows_is_told() -> None:
    words = "\n".join(texts_of(drawn()))
    assert "first component (31%)" in words
    assert "second component (23%)" in words
    assert "An illustration: it shows 54% of the variance." in words
    assert "Shown: 50% of the customers" in words  # .5 of density, on cells of area 1


def test_the_networks_caption_stands_beside_the_components() -> None:
    caption = network_caption((0.741, 0.528))
    assert "two numbers rebuild 74% of the variance (two principal components 53%)" in caption.note
    assert caption.note.startswith("An illustration")


@pytest.mark.parametrize(
    ("kind", "told"), [("components", "it shows 54%"), ("network", "two numbers rebuild 31%")]
)
def test_a_kept_map_is_drawn_with_its_own_words(kind: str, told: str) -> None:
    kept = {"explained": [0.31, 0.227], "centres": json.loads(CENTRES.to_json(orient="records"))}
    figure = draw_map_of(CELLS, kind, kept, COLOURS, NAMES)
    assert told in "\n".join(texts_of(figure))
    assert boxes_of(figure) == boxes_of(drawn())
    nowhere = draw_map_of(CELLS, kind, {**kept, "centres": []}, COLOURS, NAMES)
    assert not nowhere.axes[0].patches


def test_there_are_no_ticks() -> None:
    ax = drawn().axes[0]
    assert list(ax.get_xticks()) == list(ax.get_yticks()) == []


def test_a_map_without_a_cell_says_so() -> None:
    figure = drawn(cells=CELLS[:0], centres=CENTRES[:0])
    assert any("No cell holds enough customers" in text for text in texts_of(figure))
    assert not figure.axes[0].images


def test_cells_without_a_centre_are_drawn() -> None:
    assert picture_of(drawn(centres=CENTRES[:0])).shape == (5, 6, 4)


@pytest.mark.parametrize("k", [2, 7, 12])
def test_names_do_not_cover_each_other(k: int) -> None:
    box = 72 * np.array(figures_maps.ROOM)
    for seed in range(15):
        rng = np.random.default_rng([k, seed])
        middle = box / 2 + rng.normal(size=(k, 2)) * box / 6
        size = np.column_stack([rng.uniform(40, 120, k), rng.choice([18, 28, 38], k)])
        place = places_of(middle, size, box)
        for one, other in combinations(range(k), 2):
            apart = np.abs(place[one] - place[other])
            assert (apart >= (size[one] + size[other]) / 2 - 0.5).any()
        assert (place >= size / 2 - 1e-9).all()
        assert (place <= box - size / 2 + 1e-9).all()


def test_a_name_that_is_in_nobodys_way_stays_where_it_is() -> None:
    box = np.array([600.0, 300])
    middle = np.array([[100.0, 100], [300, 100], [310, 104]])
    place = places_of(middle, np.full((3, 2), [60.0, 20]), box)
    assert place[0].tolist() == [100, 100]
    assert place[1][1] < 100 < 104 < place[2][1]  # the shorter way, and in their order
    assert place[:, 0].tolist() == [100, 300, 310]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_any_name_is_drawn_and_the_same_map_gives_the_same_picture() -> None:
    names = {"S01": "$x_1$ <script>\nalert", "S02": "العملاء " * 40, "S03": "顧客" * 60}
    pictures = []
    for _ in range(2):
        buffer = io.BytesIO()
        drawn(names=names).savefig(buffer, format="png", dpi=50)
        pictures.append(buffer.getvalue())
    assert pictures[0].startswith(b"\x89PNG")
    assert pictures[0] == pictures[1]


def test_neither_table_is_changed_and_no_figure_is_left_open() -> None:
    from matplotlib import pyplot

    before = CELLS.copy(deep=True), CENTRES.copy(deep=True), pyplot.get_fignums()
    drawn()
    pd.testing.assert_frame_equal(CELLS, before[0])
    pd.testing.assert_frame_equal(CENTRES, before[1])
    assert pyplot.get_fignums() == before[2]


def test_a_map_of_customers_is_drawn_with_every_segment_in_its_own_corner() -> None:
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 3, 900)
    Z = np.array([[0, 0], [9, 0], [0, 9]])[corner] + rng.normal(size=(900, 2))
    segment = pd.Series(corner).map(dict(enumerate(COLOURS)))
    cells, centres = map_cells(Z, segment, 5), map_centres(Z, segment, 5)
    picture = picture_of(drawn(cells, centres))
    lower_right = picture[: len(picture) // 3, -picture.shape[1] // 3 :]
    shown = lower_right[lower_right[..., 3] > 0][:, :3]
    np.testing.assert_allclose(shown, np.tile(to_rgb(RED), (len(shown), 1)), atol=0.2)
    assert len(shown) > 5
