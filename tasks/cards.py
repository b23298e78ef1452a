"""The card of each segment: who they are, what marks them, what to do, as it may be told."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from tasks.inlining import inline
from tasks.palette import hex_of
from tasks.reporting import number, percent, signed
from tasks.small_counts import hidden

DID = {
    "entered": "entered from another segment",
    "exited": "left for one",
    "joined": "are new",
    "gone": "are gone",
}
MOVES = ("joined", "entered", "exited", "gone")
WORDS = ("id", "name", "retention", "campaign")
NUMBERS = ("share", "value_share", "size_change", "from_birth")
MOST_MARKS = 3

Parts = Mapping[str, Any]


def cards_of(
    summary: Mapping[str, Any], parts: Parts, figures: Mapping[str, bytes]
) -> list[dict[str, Any]]:
    """What the card of each segment says, largest segment first; small counts are not told."""
    segments, min_cell = summary["segments"], summary["min_cell"]
    if not segments:
        return []
    sizes = sizes_told(segments, min_cell)
    compared = (summary["changes"] or {}).get("compared")
    moves = moves_told(parts, min_cell) if compared else {}
    cards = [
        _card(one, sizes[one["id"]], moves.get(one["id"], {}), parts, figures, min_cell)
        for one in segments
    ]
    return sorted(cards, key=lambda card: -(card["sorts"]["size"] or 0))


def segments_told(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The segments in words and numbers that may be told, largest first; without pictures."""
    sizes = sizes_told(summary["segments"], summary["min_cell"])
    lines = sorted(summary["segments"], key=lambda one: -(sizes[one["id"]] or 0))
    return [_told(one, sizes[one["id"]], summary["min_cell"]) for one in lines]


def sizes_told(segments: Sequence[Mapping[str, Any]], min_cell: int) -> dict[str, int | None]:
    """Sizes that may be told; where one is too small a second is hidden, as the total is known."""
    sizes = pd.DataFrame({"size": [one["size"] for one in segments]})
    is_hidden = hidden(sizes, min_cell, row_totals=False)["size"]
    told = zip(segments, is_hidden, strict=True)
    return {one["id"]: None if untold else one["size"] for one, untold in told}


def moves_told(parts: Parts, min_cell: int) -> dict[str, dict[str, str]]:
    """Per segment who joined, entered, left it or is gone, as it may be told."""
    profiles = parts.get("profiles")
    if profiles is None:
        return {}
    counts = profiles.set_index("segment")[list(MOVES)]
    is_hidden = hidden(counts, min_cell)
    small = f"< {min_cell}"
    return {
        str(of): {
            name: small if 0 < n < min_cell else "-" if is_hidden.loc[of, name] else f"{n:,}"
            for name, n in line.items()
        }
        for of, line in counts.to_dict("index").items()
    }


def _told(segment: Mapping[str, Any], size: int | None, min_cell: int) -> dict[str, Any]:
    """A segment's line: its words, and its numbers where they may be told."""
    known = {name: None if size is None else segment.get(name) for name in NUMBERS}
    small = f"< {min_cell}" if segment["size"] < min_cell else "not told"
    return {
        **{name: segment.get(name) or "" for name in WORDS},
        "care": bool(segment.get("care")),
        "size": small if size is None else f"{size:,}",
        "share": _or_nothing(known["share"], percent),
        "value_share": _or_nothing(known["value_share"], percent),
        "change": _or_nothing(known["size_change"], signed),
    }


def _card(
    segment: Mapping[str, Any],
    size: int | None,
    moves: Mapping[str, str],
    parts: Parts,
    figures: Mapping[str, bytes],
    min_cell: int,
) -> dict[str, Any]:
    of = segment["id"]
    told = _told(segment, size, min_cell)
    known = {name: None if size is None else segment.get(name) for name in NUMBERS}
    counts = {name: moves.get(name, "-") for name in MOVES}
    told |= {
        "hex": hex_of(segment.get("colour") or 0),
        "from_birth": _or_nothing(known["from_birth"], lambda sd: f"{number(sd, 2)} sd"),
        "moves": _moves_in_words(counts),
        "counts": counts,
        "sorts": {"size": size, **known, **{name: _digits(n) for name, n in counts.items()}},
    }
    if size is None:
        return {
            **told,
            **dict.fromkeys(("fits", "picture", "rule", "products", "offer")),
            "marks": [],
        }
    marks = _of(parts, "differences", of)[:MOST_MARKS]
    picture = figures.get(f"card-{of}")
    return {
        **told,
        "fits": _fits(segment),
        "picture": inline(picture, _marks_in_words(segment, marks)) if picture and marks else None,
        "marks": [one["says"] for one in marks],
        "rule": _rule(parts, of),
        "products": _products_in_use(parts, of),
        "offer": _offers_here(parts, segment, min_cell),
    }


def _or_nothing(value: float | None, told: Callable[[float], str]) -> str:
    return "" if value is None else told(value)


def _of(parts: Parts, name: str, segment: str) -> list[dict[str, Any]]:
    """The lines of a table that are about one segment."""
    table = parts.get(name)
    if table is None or not len(table):
        return []
    lines = table[table["segment"] == segment].to_dict("records")
    return [{str(name): one for name, one in line.items()} for line in lines]


def _fits(segment: Mapping[str, Any]) -> str:
    if segment.get("persona") is None:
        return "No pattern of the contract fits; the name says what is strongest about them."
    return f"{segment['matched']:.0%} of them fit the pattern “{segment['persona']}”."


def _rule(parts: Parts, segment: str) -> dict[str, str] | None:
    lines = (parts.get("rules") or {}).get("rules", [])
    found = next((one for one in lines if one["segment"] == segment and one["says"]), None)
    if found is None:
        return None
    measured = (
        f"Of 100 customers held out who fit this rule, {100 * found['precision']:.0f} are in the "
        f"segment; of 100 who are in the segment, it finds {100 * found['coverage']:.0f}."
    )
    return {"says": found["says"], "measured": measured}


def _products_in_use(parts: Parts, segment: str) -> str:
    lines = [one for one in _of(parts, "use", segment) if pd.notna(one["share"])]
    return "; ".join(
        f"{one['product']} {one['share']:.0%} (everyone {one['everyone']:.0%})" for one in lines
    )


def _offers_here(parts: Parts, segment: Mapping[str, Any], min_cell: int) -> str:
    offers = parts.get("offers")
    if offers is None:
        return ""
    if segment.get("care"):
        return "No product is offered here."
    told = offers_told(offers, min_cell)
    here = told.loc[segment["id"]].dropna() if segment["id"] in told.index else {}
    products = ", ".join(f"{product} to {n:,.0f}" for product, n in dict(here).items() if n)
    return f"Next product: {products}." if products else ""


def offers_told(offers: pd.DataFrame, min_cell: int) -> pd.DataFrame:
    """How many of each segment are offered each product, (k, n_products), null if not told.

    Not only few: a second number goes where the product's total would give the few away.
    """
    if offers.empty:
        return pd.DataFrame()
    counts = offers.pivot(index="segment", columns="product", values="customers")
    counts = counts.fillna(0).astype(int)
    return counts.mask(hidden(counts, min_cell, row_totals=False))


def _moves_in_words(moves: Mapping[str, str]) -> str:
    """Who came and went, as far as it may be told; that nobody did is not worth a word."""
    told = [f"{moves[name]} {did}" for name, did in DID.items() if moves[name] not in ("0", "-")]
    untold = ["the others are not told"] if "-" in moves.values() else []
    return f"{'; '.join([*told, *untold])}." if told else ""


def _marks_in_words(segment: Mapping[str, Any], marks: Sequence[Mapping[str, Any]]) -> str:
    return f"What marks {segment['name']}: " + "; ".join(one["says"] for one in marks)


def _digits(told: str) -> int | None:
    bare = told.replace(",", "").replace("<", "").strip()
    return int(bare) if bare.isdigit() else None
