"""Twelve colours for segments, and which segment has which: a segment keeps its own."""

from collections import Counter
from collections.abc import Mapping, Sequence

from tasks.matching import sorted_ids

# Found by annealing in OKLCH. Each has a contrast of 3 : 1 or more to white and to #12181d, as a
# filled area needs (WCAG 2.1, 1.4.11). Under simulated deuteranopia, protanopia and tritanopia
# (Machado et al. 2009) any two of the first seven are 14 apart (CIEDE2000), any two of all twelve
# 9; two shades of one colour side by side are told apart at 2.
COLOURS = (
    "#2569c0",  # blue
    "#bb8b0b",  # ochre
    "#9d4a77",  # plum
    "#5ba091",  # sea green
    "#4c7111",  # moss
    "#9e8ac0",  # lavender
    "#7f6f60",  # taupe
    "#c74739",  # brick
    "#6f8dfa",  # cornflower
    "#9d935f",  # khaki
    "#ce637b",  # rose
    "#6d7595",  # slate
)
NEUTRAL = "#93a4b0"  # of what is no segment, or has no colour


def colours_for(ids: Sequence[str], before: Mapping[str, int]) -> dict[str, int]:
    """The slot in the palette of each segment.

    A segment keeps the slot that it had. A new one, in the order of ids, takes the lowest slot
    that nobody has; one whose segment has just retired only when there is no other, so that no
    colour changes its meaning from one month to the next. With more segments than colours those
    that are least used come again.

    Parameters
    ----------
    ids : sequence of str
        The segments that there are.
    before : mapping
        Segment to slot, as it was last month.
    """
    slots = {one: before[one] for one in ids if one in before}
    for one in sorted_ids(set(ids) - set(slots)):
        living, known = Counter(slots.values()), set(before.values())
        slots[one] = min(range(len(COLOURS)), key=lambda slot: (living[slot], slot in known, slot))
    return {one: slots[one] for one in ids}


def hex_of(slot: int) -> str:
    """The colour of a slot, as `#rrggbb`."""
    return COLOURS[slot % len(COLOURS)]
