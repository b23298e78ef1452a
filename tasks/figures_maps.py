"""Maps of the segments, drawn as density with each segment's name where its customers are."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from unicodedata import east_asian_width

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import BoxStyle, FancyBboxPatch

from tasks.drawing import (
    LINE,
    PAPER,
    QUIET,
    SMALL,
    SOFT,
    bare,
    nothing,
    panels,
    subtitle,
    title,
    wrapped,
    write,
)

HEIGHT = 5.8  # inches
ROOM = (8.6, 4.8)  # inches that are left for the panel itself, at least
FAINTEST = 0.15  # opacity of the emptiest cell
FULLEST = 0.95  # quantile of the densities from which on a cell is drawn in full colour
SHARE_UNTOLD = 0.75  # stands for a share that would tell of few
LETTERS = 18  # to a line of a name
STEPS = 400  # in which names find their places
GAP = 3.0  # points between two names
KEY = (
    "The stronger a colour, the more customers; the greyer, the more segments share the place. "
    "Shown: {share:.0%} of the customers; emptier places are left out."
)


Extent = tuple[float, float, float, float]  # left, right, lower and upper edge


class Caption(NamedTuple):
    """What is written around a map."""

    title: str
    across: str
    up: str
    note: str


def components_caption(explained: Sequence[float]) -> Caption:
    """For `maps.principal_map`."""
    first, second = explained
    return Caption(
        "Segments on two principal components",
        f"first component ({first:.0%})",
        f"second component ({second:.0%})",
        f"An illustration: it shows {first + second:.0%} of the variance.",
    )


def network_caption(explained: Sequence[float]) -> Caption:
    """For `maps.network_map`."""
    by_network, by_components = explained
    return Caption(
        "Segments as an autoencoder lays them out",
        "first axis of its code",
        "second axis of its code",
        f"An illustration: of customers held out, two numbers rebuild {by_network:.0%} of the "
        f"variance (two principal components {by_components:.0%}).",
    )


CAPTIONS: Mapping[str, Callable[[Sequence[float]], Caption]] = {
    "components": components_caption,
    "network": network_caption,
}


def draw_map_of(
    cells: pd.DataFrame,
    kind: str,
    told: Mapping[str, Any],
    colours: Mapping[str, str],
    names: Mapping[str, str],
) -> Figure:
    """`draw_map` of what a run keeps: `told` holds the centres and what is explained."""
    centres = pd.DataFrame(told["centres"], columns=["segment", "x", "y", "customers"])
    return draw_map(cells, centres, CAPTIONS[kind](told["explained"]), colours, names)


def draw_map(
    cells: pd.DataFrame,
    centres: pd.DataFrame,
    caption: Caption,
    colours: Mapping[str, str],
    names: Mapping[str, str],
) -> Figure:
    """Draw `maps.map_cells` and `maps.map_centres`.

    The fuller a cell, the stronger its colour; the more it is shared between segments, the
    greyer. `colours` and `names` are by segment id.
    """
    figure, (ax,) = panels(1, 1, HEIGHT)
    title(ax, caption.title, pad=36)
    if cells.empty:
        nothing(ax, "No cell holds enough customers.")
        return figure
    bare(ax)
    share = (cells["density"] * _width(cells, "x") * _width(cells, "y")).sum()
    subtitle(ax, f"{caption.note}\n{KEY.format(share=share)}")
    left, right, lower, upper = _draw_density(ax, cells, colours)
    ax.set(xlim=(left, right), ylim=(lower, upper))
    ax.set_xlabel(f"{caption.across} →", color=SOFT, fontsize=SMALL, loc="left")
    ax.set_ylabel(f"{caption.up} →", color=SOFT, fontsize=SMALL, loc="bottom")
    if len(centres):
        _name_segments(ax, centres, colours, names)
    return figure


def _width(cells: pd.DataFrame, axis: str) -> pd.Series:
    return cells[f"{axis}_high"] - cells[f"{axis}_low"]


def _draw_density(ax: Axes, cells: pd.DataFrame, colours: Mapping[str, str]) -> Extent:
    """All cells as one picture, with an empty cell around; returns where it lies."""
    x, left, right = _grid(cells, "x")
    y, lower, upper = _grid(cells, "y")
    picture = np.zeros((y.max() + 2, x.max() + 2, 4))  # (n_y, n_x, rgba)
    picture[y, x] = _shades(cells, colours)
    extent = (left, right, lower, upper)
    ax.imshow(picture, extent=extent, origin="lower", aspect="auto", interpolation="nearest")
    return extent


def _grid(cells: pd.DataFrame, axis: str) -> tuple[np.ndarray, float, float]:
    """Position of each cell along an axis, from 1, and where the axis begins and ends."""
    width = _width(cells, axis).iloc[0]
    begin = cells[f"{axis}_low"].min() - width
    position = ((cells[f"{axis}_low"] - begin) / width).round().astype(int)
    return position.to_numpy(), begin, cells[f"{axis}_high"].max() + width


def _shades(cells: pd.DataFrame, colours: Mapping[str, str]) -> np.ndarray:
    """Colour and opacity of each cell, (n_cells, 4)."""
    own = np.array([to_rgb(colours[one]) for one in cells["segment"]])
    share = cells["share"].fillna(SHARE_UNTOLD).to_numpy()[:, None]
    mixed = share * own + (1 - share) * np.array(to_rgb(QUIET))
    fullness = cells["density"] / cells["density"].quantile(FULLEST)
    opacity = FAINTEST + (1 - FAINTEST) * np.sqrt(fullness.clip(upper=1))
    return np.column_stack([mixed, opacity])


def _name_segments(
    ax: Axes, centres: pd.DataFrame, colours: Mapping[str, str], names: Mapping[str, str]
) -> None:
    """Each id and name at its segment's centre, moved only as far as the others ask for."""
    ids = list(centres["segment"])
    texts = [_label(one, names.get(one, one)) for one in ids]
    low, high = np.transpose([ax.get_xlim(), ax.get_ylim()])
    points = (high - low) / (72 * np.array(ROOM))  # a point, in units of the map
    at = centres[["x", "y"]].to_numpy().clip(low, high)  # (k, 2)
    size = np.array([_size_of(text) for text in texts])
    places = places_of((at - low) / points, size, 72 * np.array(ROOM)) * points + low
    for one, text, centre, place, extent in zip(ids, texts, at, places, size * points, strict=True):
        ax.plot(*np.transpose([centre, place]), color=colours[one], lw=1)
        ax.add_patch(_box(place, extent, colours[one], points))
        write(ax, text, (place[0], place[1]), ha="center", size=SMALL)


def _box(middle: np.ndarray, extent: np.ndarray, colour: str, points: np.ndarray) -> FancyBboxPatch:
    """Paper behind a name, its corners round."""
    left, lower = middle - extent / 2
    return FancyBboxPatch(
        (left, lower),
        width=extent[0],
        height=extent[1],
        boxstyle=BoxStyle.Round(pad=0, rounding_size=3 * points[0]),
        mutation_aspect=points[1] / points[0],
        facecolor=to_rgba(PAPER, 0.86),
        edgecolor=colour,
        zorder=2.5,  # above the lines, under the letters
    )


def _label(segment: str, name: str) -> str:
    return segment if name == segment else f"{segment}\n{wrapped(name, LETTERS)}"


def _size_of(text: str) -> tuple[float, float]:
    """Width and height of a label in points, roughly: fonts differ between machines."""
    lines = text.split("\n")
    letters = max(sum(1 + (east_asian_width(one) in "FW") for one in line) for line in lines)
    return letters * SMALL * 0.56 + 8, len(lines) * SMALL * LINE + 6


def places_of(middle: np.ndarray, size: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Places of labels, (k, 2), near their middles, inside of the box, and none upon another.

    All in points. Two labels that overlap move apart, each half of the way, in the direction in
    which the way is shorter; when that has not helped half of the time, sideways.
    """
    need = (size[:, None] + size) / 2 + GAP  # (k, k, 2)
    rank = np.argsort(np.argsort(middle, axis=0, kind="stable"), axis=0)
    side = np.sign(rank[:, None] - rank)  # (k, k, 2)
    place = np.clip(middle, size / 2, box - size / 2)
    for step in range(STEPS):
        missing = need - np.abs(place[:, None] - place)
        overlaps = (missing > 0).all(axis=2) & (side[..., 1] != 0)
        if not overlaps.any():
            break
        is_sideways = (missing[..., 0] < missing[..., 1]) | (step > STEPS / 2)
        moves = overlaps[..., None] & np.stack([is_sideways, ~is_sideways], axis=2)
        push = np.where(moves, missing * side / 2, 0).sum(axis=1)  # (k, 2)
        place = np.clip(place + push, size / 2, box - size / 2)
    return place
