"""The month's report: one page from finished tables and figures, which needs nothing else."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tasks.cards import Parts, cards_of
from tasks.changes import migration_lines
from tasks.drawing import words
from tasks.inlining import inline
from tasks.report_words import (
    alt,
    gates_told,
    headline,
    method_in_words,
    month_in_words,
    rows_said,
    tells_source,
    tiles,
)
from tasks.reporting import CAPTIONS, TEMPLATES, template, warnings_in_words
from tasks.small_counts import few

EXPLORED = ("distributions", "correlations", "missing")
MAPS = ("map-components", "map-network")
SAID_WITHIN = ("segments", "migration", "causes", "missing", "training", *MAPS)  # their own title


def render_report(
    summary: Mapping[str, Any],
    candidates: Sequence[Mapping[str, Any]],
    products: Sequence[Mapping[str, Any]] = (),
    names: Sequence[str] = (),
    *kept: Any,
) -> str:
    """The whole report as one HTML file that needs nothing else: no network, no other file.

    Parameters
    ----------
    summary : mapping
        `reporting.summarise`.
    candidates : sequence of mapping
        `reporting.candidate_lines`.
    products : sequence of mapping
        What was measured of each next product.
    names, *kept
        What the run kept, and under which names: `figures/NAME` (SVG, those of `CAPTIONS`, and
        `card-ID` for each segment), `reasons/NAME` (profiles, differences, disparities, rules,
        use, offers). What the run did not come to is missing.
    """
    there = dict(zip(names, kept, strict=True))
    figures = {name[8:]: one for name, one in there.items() if name.startswith("figures/")}
    parts = {name[8:]: one for name, one in there.items() if name.startswith("reasons/")}
    parts["products"] = products
    script = (TEMPLATES / "report.js").read_text()
    cards = cards_of(summary, parts, figures)
    changes = summary["changes"] or {}
    shown = {
        name: inline(figures[name], alt(name, summary)) for name in CAPTIONS if name in figures
    }
    page = {
        "run": summary,
        "css": _as_it_is((TEMPLATES / "report.css").read_text()),
        "script": _as_it_is(script),
        "script_hash": "sha256-" + base64.b64encode(_sha256(script)).decode(),
        "month_in_words": month_in_words(summary["month"]),
        "kicker": "monthly segmentation" if summary["preset"] == "monthly" else "notebook preset",
        "headline": headline(summary),
        "tiles": tiles(summary),
        "pictures": shown,
        "captions": CAPTIONS,
        "said_within": SAID_WITHIN,
        "cards": cards,
        "names": {card["id"]: card["name"] for card in cards},
        "compared": bool(changes.get("compared")),
        "has_value": any(card["value_share"] for card in cards),
        "disparities": _disparities(parts, cards),
        "migration": migration_lines(changes.get("migration", []), summary["min_cell"]),
        "use": use_of_products(parts, cards),
        "offers": offers_of(parts, summary["min_cell"]),
        "candidates": candidates,
        "yardsticks": _yardsticks(candidates),
        "beside": _beside(candidates, summary["monthly"] or {"k": None}),
        "maps": [name for name in MAPS if name in shown],
        "explored": [name for name in EXPLORED if name in shown],
        "rows_said": rows_said(summary),
        "warnings": warnings_in_words(
            summary["unknown_columns"], summary["gates"], summary["min_cell"], tells_source(summary)
        ),
        "gates": gates_told(summary),
        "drift": sorted(changes.get("drift", []), key=lambda one: -(one["psi"] or 0)),
        "method": method_in_words(summary, parts),
    }
    return template("report.html.j2").render(**page, sections=_sections(page))


def _disparities(parts: Parts, cards: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    table, names = parts.get("disparities"), {card["id"]: card["name"] for card in cards}
    if table is None:
        return []
    lines = table.to_dict("records")
    return [{**one, "column": words(one["column"]), "segment": names.get(one["segment"])}
            for one in lines if one["segment"] in names]  # fmt: skip


def use_of_products(
    parts: Parts, cards: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[tuple[Mapping[str, Any], list[float | None]]], list[float]] | None:
    """Products; per segment the share who use each; the same of everyone; None without products."""
    use = parts.get("use")
    if use is None or not len(use) or not cards:
        return None
    shares = use.pivot(index="segment", columns="product", values="share")
    everyone = use.drop_duplicates("product").set_index("product")["everyone"]
    products = [str(one) for one in everyone.index]
    lines = [
        (card, [_known(shares.loc[card["id"], one]) for one in products])
        for card in cards
        if card["id"] in shares.index
    ]
    return products, lines, [float(everyone[one]) for one in products]


def offers_of(parts: Parts, min_cell: int) -> list[dict[str, Any]]:
    """What was measured of each next product, and to how many it is offered."""
    measured, offers = parts.get("products"), parts.get("offers")
    if not measured or offers is None:
        return []
    offered = offers.groupby("product")["customers"].sum() if len(offers) else {}
    counts = {one: few(int(n), min_cell) for one, n in dict(offered).items()}
    return [
        {**one, "offered": counts.get(one["product"], "0") if one["shown"] else "-"}
        for one in measured
    ]


def _sections(page: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The sections that the page has, for its table of contents."""
    known = [
        ("glance", "At a glance", True),
        ("segments", "Segments", page["cards"]),
        ("moves", "Who moved", page["run"]["changes_in_words"]),
        ("products", "Products", page["use"]),
        ("choice", "Why so many", page["candidates"]),
        ("maps", "Maps", page["maps"]),
        ("table", "The table", page["explored"]),
        ("quality", "Data quality", True),
        ("method", "Method", True),
    ]
    return [(of, title) for of, title, there in known if there]


def _yardsticks(candidates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    from tasks.yardsticks import YARDSTICKS

    # no standard error where all were measured
    return {n: y for n, y in YARDSTICKS.items() if any(one.get(n) for one in candidates)}


def _beside(
    candidates: Sequence[Mapping[str, Any]], monthly: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """What the usual notebook chose, what its network gives, and what the monthly preset chose."""
    usual = [one for one in candidates if one["chosen"] or one["space"] == "notebook autoencoder"]
    k = monthly["k"] or next((one["k"] for one in usual if one["chosen"]), None)
    return usual + [one for one in candidates if (one["space"], one["k"]) == ("none", k)]


def _known(share: Any) -> float | None:
    return None if pd.isna(share) else float(share)


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _as_it_is(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)
