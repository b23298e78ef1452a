"""What the report's parts say: cards, colours, offers, small counts, words."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from markupsafe import Markup

from tasks import explaining
from tasks.cards import cards_of, moves_told, offers_told, segments_told, sizes_told
from tasks.inlining import inline
from tasks.markdown import render_markdown
from tasks.publication import publish_segments
from tasks.report import offers_of, use_of_products
from tasks.report_words import headline, method_in_words, short_sum, tiles
from tasks.reporting import summarise
from tests.pages import (
    EACH,
    HOSTILE,
    contract_with,
    customers,
    hostile,
    last_month,
    manifest,
    month_of,
    page,
    terms_of,
)


def segment(of: str, size: int, **facts: Any) -> dict[str, Any]:
    told = {"id": of, "name": f"Group {of}", "size": size, "share": size / 100}
    unknown = dict.fromkeys(("value_share", "size_change", "from_birth", "persona"))
    return {**told, **unknown, "matched": 0.5, "care": False, "colour": 0, **facts}


def summary_of(*segments: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {"segments": list(segments), "min_cell": 5, "changes": None, **facts}


def test_a_segment_of_a_few_is_not_told_of_nor_a_second_that_would_give_it_away() -> None:
    told = summary_of(segment("S01", 80), segment("S02", 17), segment("S03", 3))
    assert sizes_told(told["segments"], 5) == {"S01": 80, "S02": None, "S03": None}
    lines = {one["id"]: one for one in segments_told(told)}
    assert [lines[of]["size"] for of in ("S01", "S02", "S03")] == ["80", "not told", "< 5"]
    assert [lines[of]["share"] for of in ("S01", "S02", "S03")] == ["80.0%", "", ""]
    (card,) = [one for one in cards_of(told, {}, {}) if one["id"] == "S03"]
    assert card["marks"] == [] and not card["picture"] and not card["fits"]
    assert card["sorts"]["size"] is None


def test_the_profiles_that_are_drawn_leave_such_segments_out() -> None:
    sizes = {"segment": ["S01", "S02", "S03"], "name": "x", "size": [80, 17, 3], "colour": 1}
    moves = dict.fromkeys(("joined", "entered", "exited", "gone"), 0)
    table = pd.DataFrame({**sizes, **moves, "spend": [1.0, 2.0, 3.0]})
    told = explaining.profiles_told(table, 5)
    assert told["spend"].tolist()[0] == 1.0
    assert told.loc[1:, ["spend", "size"]].isna().all(axis=None)
    assert told["colour"].tolist() == [1, 1, 1]


def test_moves_of_a_few_are_not_told_nor_what_gives_them_away() -> None:
    counts = pd.DataFrame(
        {
            "segment": ["S01", "S02", "S03"],
            "joined": [20, 20, 20], "entered": [2, 9, 30], "exited": [10, 12, 19],
            "gone": [7, 8, 9],
        }
    )  # fmt: skip
    told = moves_told({"profiles": counts}, 5)
    assert told["S01"]["entered"] == "< 5"
    assert list(told["S01"].values()).count("-") == 1
    assert [one["entered"] for one in told.values()].count("-") == 1
    assert told["S03"]["gone"] == "9"


def test_cards_fall_by_size_and_keep_the_words_of_their_persona() -> None:
    made, segments, clean, _ = month_of(4, contract_with(), {"S02": "Our friends"}, True)
    known = segments, clean, contract_with(), "challenger", 5
    parts = {"differences": explaining.reasons_of(*known)}
    lines = [{**one, "size": 70 + number} for number, one in enumerate(made.log["segments"])]
    cards = cards_of(summary_of(*lines), parts, {})
    assert [card["id"] for card in cards] == ["S04", "S03", "S02", "S01"]
    by_id = {card["id"]: card for card in cards}
    assert by_id["S04"]["name"] == "Big spenders"
    assert by_id["S04"]["retention"] == "A named contact."
    assert by_id["S02"]["name"] == "Our friends"
    assert by_id["S01"]["care"] is True
    assert next(one.partition(":")[0] for one in by_id["S01"]["marks"]) == "money spent"
    assert len(by_id["S01"]["marks"]) == 3


def test_nobody_in_a_segment_to_be_handled_with_care_is_offered_anything() -> None:
    contract = contract_with()
    _, segments, clean, offers = month_of(4, contract, {}, False)
    # as if everybody who uses no gift card should get one
    free = offers.table.assign(
        next_product=offers.table["next_product"].where(clean["gifts"] > 0, "Gift cards")
    )
    ids = sorted(segments["challenger_segment"].unique())
    again = publish_segments(
        segments, clean, clean, clean.iloc[:0], contract, terms_of(ids, {}, False), offers=free
    )
    moves = again.learned["moves.parquet"].set_index("customer_id")
    offered = moves["next_product"].notna()
    in_care = moves["segment_id"] == "S01"
    assert again.table.set_index("segment").loc["S01", "care"]
    assert offered[~in_care].sum() > 50
    assert not offered[in_care].any()
    by_segment = explaining.offers_by_segment(free, segments, again.table, "challenger")
    assert "S01" not in set(by_segment["segment"])
    assert by_segment["customers"].sum() == offered.sum()


def test_a_product_is_told_with_how_many_are_offered_it_where_it_is_shown() -> None:
    offers = pd.DataFrame(
        {
            "segment": ["S01", "S02", "S01"], "product": ["Cards", "Cards", "Loans"],
            "customers": [40, 2, 3],
        }
    )  # fmt: skip
    lines = [{"product": one, "shown": one != "Cash"} for one in ("Cards", "Loans", "Tea", "Cash")]
    told = offers_of({"products": lines, "offers": offers}, 5)
    assert [one["offered"] for one in told] == ["42", "< 5", "0", "-"]
    assert "No product is offered here." in page()  # with care


def test_few_who_are_offered_a_product_do_not_follow_from_its_total() -> None:
    offers = pd.DataFrame(
        {"segment": ["S01", "S02", "S03"], "product": "Cards", "customers": [40, 3, 9]}
    )
    told = offers_told(offers, 5)["Cards"]
    assert told["S01"] == 40
    assert told[["S02", "S03"]].isna().all()
    lines = [segment("S01", 80), segment("S03", 20)]
    cards = {one["id"]: one for one in cards_of(summary_of(*lines), {"offers": offers}, {})}
    assert cards["S01"]["offer"] == "Next product: Cards to 40."
    assert cards["S03"]["offer"] == ""
    assert offers_told(offers[:0], 5).empty


def test_no_reasons_are_kept_of_a_segment_of_a_few() -> None:
    _, segments, clean, _ = month_of(4, contract_with(), {}, False)
    few = segments.assign(
        challenger_segment=segments["challenger_segment"].mask(clean.index < 3, "S09")
    )
    found = explaining.reasons_of(few, clean, contract_with(), "challenger", 5)
    assert set(found["segment"]) == {"S01", "S02", "S03", "S04"}


def test_without_products_there_is_no_next_product() -> None:
    contract = contract_with(products=())
    made, _, _, offers = month_of(2, contract, {}, False)
    assert offers.log["products"] == []
    assert made.learned["moves.parquet"]["next_product"].isna().all()
    assert use_of_products({"use": pd.DataFrame()}, []) is None
    assert offers_of({"products": [], "offers": None}, 5) == []


def test_a_segment_keeps_the_colour_of_last_month() -> None:
    contract = contract_with()
    clean, labels = customers(3)
    ids = sorted(labels.unique())
    _, segments, *_ = month_of(3, contract, {}, True)
    terms = {**terms_of(ids, {}, True), "colours": {"S01": 7, "S03": 0}}
    previous = last_month(clean, labels, labels)
    made = publish_segments(segments, clean, clean, clean.iloc[:0], contract, terms, previous)
    colours = made.table.set_index("segment")["colour"].to_dict()
    assert (colours["S01"], colours["S03"]) == (7, 0)
    assert colours["S02"] not in (7, 0)


def test_a_first_month_says_nothing_of_moves() -> None:
    first = page(compared=False)
    for words in ("since last month", "Who moved", "are new"):
        assert words not in first
    later = page()
    assert "Who moved, and why" in later
    assert "7 entered from another segment; 7 left for one." in later


def test_the_headline_tells_moves_beside_their_noise_and_a_refusal_that_nothing_happened() -> None:
    rows = {"kept": 8950}
    changes = {"compared": True, "churn": 0.032, "noise": {"share": 0.018}}
    told = {"status": "published", "k": 7, "rows": rows, "changes": changes}
    assert headline(told) == (
        "8,950 customers in 7 segments; 3.2% have moved since last month (1.8% would by noise "
        "alone)."
    )
    assert headline({**told, "changes": None}) == "8,950 customers in 7 segments."
    assert headline({**told, "status": "refused"}).startswith("Nothing was published this month")


@pytest.mark.parametrize(
    ("silhouette", "word"), [(0.24, "continuum"), (0.25, "groups that stand apart")]
)
def test_a_continuum_is_called_one(silhouette: float, word: str) -> None:
    metrics = {"survival": None, "silhouette": silhouette}
    told = {"rows": None, "k": 3, "metrics": metrics, "changes": None, "gates": [], "value": None,
            "features": ["a"], "left_out": []}  # fmt: skip
    assert [one for one in tiles(told) if word in one["about"]]
    assert any("cut through a continuum" in one for one in method_in_words(told, {})) == (
        silhouette < 0.25
    )


@pytest.mark.parametrize(
    ("total", "told"), [(8_978_000, "8.98 M"), (999, "999"), (12_345, "12.3 k"), (2.5e9, "2.5 bn")]
)
def test_a_sum_is_told_in_few_letters(total: float, told: str) -> None:
    assert short_sum(total) == told


def test_a_figure_within_a_page_has_words_and_the_colours_of_the_page() -> None:
    svg = (
        b'<?xml version="1.0"?><!DOCTYPE svg><svg width="9pt" viewBox="0 0 9 9">'
        b'<path style="fill: #22313F; stroke: #123456"/></svg>'
    )
    drawn = inline(svg, 'a "picture" of <x> & y')
    assert isinstance(drawn, Markup)
    opening, drawing = re.fullmatch(r"(<svg [^>]*>)(.*)", drawn, flags=re.DOTALL).groups()  # type: ignore[union-attr]
    assert 'role="img"' in opening
    assert 'aria-label="a &quot;picture&quot; of &lt;x&gt; &amp; y"' in opening
    assert "width" not in opening
    assert drawing == '<path style="fill: var(--ink); stroke: #123456"/></svg>'


def test_hostile_texts_break_no_markdown() -> None:
    contract = hostile()
    made, *_ = month_of(4, contract, {"S02": "a | b"}, True)
    told = summarise(manifest(4, contract, made, True, error=HOSTILE), Path("x"))
    text = render_markdown(told, {})
    assert "<script" not in text
    assert "](javascript:" not in text
    rows = [line for line in text.splitlines() if line.startswith("| **")]
    assert len(rows) == 4
    assert {row.count("|") for row in rows} == {8}


def test_what_the_report_shows_of_a_rule_is_what_was_measured() -> None:
    contract = contract_with()
    _, segments, clean, _ = month_of(4, contract, {}, False)
    rules = explaining.rules_of(segments, clean, contract, "challenger", 5, 0)
    first = next(one for one in rules["rules"] if one["segment"] == "S04")
    shown = page(compared=False)
    assert first["says"] in shown
    assert f"{100 * first['precision']:.0f} are in the segment" in shown
    assert len(clean) == 4 * EACH
