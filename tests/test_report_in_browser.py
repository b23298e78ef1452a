"""The report in a real browser: wide and narrow, light and dark, by mouse, by keyboard, by ear."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.browsers import opened, started
from tests.pages import EACH, HOSTILE, customers, hostile, page

SCRIPTS = {
    "S01": "顧客セグメント・プレミアム", "S02": "عملاء الأقساط الشهرية", "S03": "לקוחות חדשים",
    "S04": "<script>alert(1)</script> & “$x$”\u202e" + "long " * 12,
}  # fmt: skip
REFUSED: dict[str, Any] = {
    "status": "refused", "error": "raw: 214 of 600 rows have money spent below 0. Fix the extract.",
}  # fmt: skip
ASKS = "publication: 18.0 % of the customers have moved, and 15 % are allowed"
PAGES: dict[str, dict[str, Any]] = {
    "first": {"compared": False},
    "later": {},
    "refused": REFUSED,
    "awaiting": {"status": "awaiting", "asks": [ASKS]},
    "two": {"k": 2},
    "twelve": {"k": 12},
    "scripts": {"names": SCRIPTS},
    "hostile": {"contract": hostile(), "source": {"uri": HOSTILE}},
}


@cache
def written(folder: Path, name: str) -> Path:
    path = folder / f"{name}.html"
    path.write_text(page(**PAGES[name]))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_report_fits_asks_no_network_and_has_words_for_every_picture(
    browser: Browser, folder: Path, name: str, width: int
) -> None:
    with opened(browser, written(folder, name), width) as report:
        across = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        needed, there = report.evaluate(across)
        assert needed <= there
        pictures = report.locator("svg, img").all()
        assert len(pictures) >= 3
        for picture in pictures:
            says = picture.get_attribute("aria-label") or picture.get_attribute("alt") or ""
            assert len(says) > 20, picture
        assert report.locator("h1").inner_text() == "Customer segments, October 2026"


@pytest.mark.parametrize(
    ("name", "scheme"),
    [("later", "light"), ("later", "dark"), ("scripts", "light"), ("refused", "dark")],
)
def test_an_accessibility_checker_finds_nothing_serious(
    browser: Browser, folder: Path, name: str, scheme: Any
) -> None:
    with opened(browser, written(folder, name), color_scheme=scheme, bypass_csp=True) as report:
        found = Axe().run(report).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, [(one["id"], one["nodes"][0]["html"][:200]) for one in serious]


def test_a_table_sorts_by_click_and_by_keyboard(browser: Browser, folder: Path) -> None:
    with opened(browser, written(folder, "later")) as report:
        table = report.locator("#segments table.sortable").first
        shares = "rows => rows.map(row => Number(row.cells[3].dataset.value))"
        rows = table.locator("tbody tr")
        button = table.get_by_role("button", name="share of value")
        button.click()
        rising = rows.evaluate_all(shares)
        assert rising == sorted(rising) and len(set(rising)) > 1
        head = table.locator("thead th").nth(3)
        assert head.get_attribute("aria-sort") == "ascending"
        button.focus()
        report.keyboard.press("Enter")
        assert rows.evaluate_all(shares) == rising[::-1]
        assert head.get_attribute("aria-sort") == "descending"
        report.keyboard.press("Shift+Tab")
        report.keyboard.press("Space")
        assert table.locator("thead th").nth(2).get_attribute("aria-sort") == "ascending"
        assert head.get_attribute("aria-sort") is None


def test_every_part_of_the_page_is_reached_from_its_contents(
    browser: Browser, folder: Path
) -> None:
    with opened(browser, written(folder, "later")) as report:
        links = report.locator("nav a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
        assert {"#glance", "#segments", "#moves", "#products", "#quality", "#method"} <= set(links)
        for link in links:
            assert report.locator(link).count() == 1


def test_a_report_prints_within_the_paper_and_in_dark_ink(browser: Browser, folder: Path) -> None:
    with opened(browser, written(folder, "twelve"), 794, color_scheme="dark") as report:
        report.emulate_media(media="print")
        page_ = "getComputedStyle(document.body)"
        assert report.evaluate(f"{page_}.backgroundColor") == "rgb(255, 255, 255)"
        assert report.locator("nav").is_hidden()
        assert len(report.pdf(format="A4")) > 10_000


def test_figures_follow_the_theme_and_segments_keep_their_colour(
    browser: Browser, folder: Path
) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        with opened(browser, written(folder, "later"), color_scheme=scheme) as report:
            ink = "e => getComputedStyle(e).fill"
            text = report.locator("#glance svg text").first.evaluate(ink)
            stripes = report.locator("article.segment").evaluate_all(
                "all => all.map(e => getComputedStyle(e).borderTopColor)"
            )
            seen[scheme] = text, stripes
    assert seen["light"][0] != seen["dark"][0]
    assert seen["light"][1] == seen["dark"][1]
    assert len(set(seen["light"][1])) == 4


def test_hostile_texts_are_words_and_nothing_else(browser: Browser, folder: Path) -> None:
    with opened(browser, written(folder, "hostile")) as report:
        assert report.locator("script").count() == 1
        assert report.locator("a[href^=javascript]").count() == 0
        shown = report.locator("main").inner_text()
        assert shown.count("<script>alert('1')</script>") > 20
    with opened(browser, written(folder, "scripts")) as report:
        assert report.locator("#S04 h3").inner_text().startswith("<script>alert(1)</script>")
        assert report.locator("script").count() == 1
        assert report.get_by_text("顧客セグメント・プレミアム").count() >= 2


def test_no_customer_is_named(folder: Path) -> None:
    clean, _ = customers(4)
    text = written(folder, "later").read_text()
    assert len(clean) == 4 * EACH
    assert not [one for one in clean["customer"] if one in text]


def test_a_report_is_small(folder: Path) -> None:
    assert written(folder, "twelve").stat().st_size < 3_000_000
