"""Segments keep their colours, and colours can be told apart by whoever looks."""

from itertools import combinations

import numpy as np
import pytest

from tasks.palette import COLOURS, colours_for, hex_of

# Machado, Oliveira and Fernandes 2009, severity 1, for linear RGB.
EYES = {
    "all cones": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.01182, 0.04294, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.3039]],
}  # fmt: skip
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175],
     [0.0193339, 0.119192, 0.9503041]]
)  # fmt: skip


def linear(colour: str) -> np.ndarray:
    bytes_ = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(bytes_ <= 0.04045, bytes_ / 12.92, ((bytes_ + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2.1, of relative luminances."""
    dark, light = sorted(TO_XYZ[1] @ linear(colour) for colour in (one, other))
    return float((light + 0.05) / (dark + 0.05))


def lab(colour: str, eye: str) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(EYES[eye] @ linear(colour), 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def ciede2000(one: np.ndarray, other: np.ndarray) -> float:
    """Sharma, Wu and Dalal 2005, equations 2 to 22."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean_c = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    grey = 1.5 - 0.5 * np.sqrt(mean_c**7 / (mean_c**7 + 25**7))
    c1, c2 = np.hypot(grey * a1, b1), np.hypot(grey * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, grey * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    apart = (h2 - h1 + 180) % 360 - 180
    hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(apart) / 2)
    light, c, h = (l1 + l2) / 2, (c1 + c2) / 2, h1 + apart / 2
    waves = ((0.17, 1, 30), (-0.24, 2, 0), (-0.32, 3, -6), (0.2, 4, 63))
    t = 1 - sum(height * np.cos(np.radians(n * h - at)) for height, n, at in waves)
    away = (light - 50) ** 2
    parts = np.array(
        [(l2 - l1) / (1 + 0.015 * away / np.sqrt(20 + away)), (c2 - c1) / (1 + 0.045 * c),
         hue / (1 + 0.015 * c * t)]
    )  # fmt: skip
    turned = 60 * np.exp(-(((h % 360 - 275) / 25) ** 2))
    rotation = -2 * np.sqrt(c**7 / (c**7 + 25**7)) * np.sin(np.radians(turned))
    return float(np.sqrt(parts @ parts + rotation * parts[1] * parts[2]))


@pytest.mark.parametrize(
    ("one", "other", "known"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1, 2), (50, 0, 0), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
    ],
)
def test_the_yardstick_gives_published_distances(
    one: tuple[float, ...], other: tuple[float, ...], known: float
) -> None:
    assert ciede2000(np.array(one), np.array(other)) == pytest.approx(known, abs=1e-4)


@pytest.mark.parametrize("eye", EYES)
def test_every_two_colours_can_be_told_apart(eye: str) -> None:
    for colours, least in ((COLOURS, 9), (COLOURS[:7], 14)):
        seen = [lab(colour, eye) for colour in colours]
        assert min(ciede2000(*pair) for pair in combinations(seen, 2)) > least


@pytest.mark.parametrize("page", ["#ffffff", "#12181d"])
def test_every_colour_stands_out_on_a_white_and_on_a_dark_page(page: str) -> None:
    assert len(COLOURS) == 12
    assert min(contrast(colour, page) for colour in COLOURS) >= 3


def test_a_segment_keeps_its_colour_and_a_new_one_takes_the_lowest_that_is_free() -> None:
    first = colours_for(["S01", "S02", "S03"], {})
    assert first == {"S01": 0, "S02": 1, "S03": 2}
    assert colours_for(["S03", "S01", "S04"], {"S01": 0, "S03": 2}) == {
        "S03": 2,
        "S01": 0,
        "S04": 1,
    }


def test_new_segments_take_their_colours_in_the_order_of_their_ids() -> None:
    assert colours_for(["S100", "S11", "S09"], {"S01": 0}) == {"S100": 3, "S11": 2, "S09": 1}


def test_the_colour_of_a_retired_segment_waits_while_there_is_another() -> None:
    assert colours_for(["S01", "S03"], {"S01": 0, "S02": 1}) == {"S01": 0, "S03": 2}
    full = {f"S{n:02d}": n - 1 for n in range(1, 13)}
    living = [*[*full][1:], "S13"]
    assert colours_for(living, full)["S13"] == 0


def test_more_segments_than_colours_share_them_evenly() -> None:
    ids = [f"S{n:02d}" for n in range(1, 31)]
    slots = colours_for(ids, {})
    assert [slots[one] for one in ids] == [*range(12), *range(12), *range(6)]
    assert {hex_of(slot) for slot in slots.values()} == set(COLOURS)


def test_a_slot_beyond_the_palette_has_a_colour() -> None:
    assert hex_of(12) == hex_of(0) == COLOURS[0]
    assert hex_of(11) == COLOURS[11]
