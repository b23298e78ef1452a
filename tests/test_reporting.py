"""The summary, the Prefect page and the report, of whole runs and of runs that were stopped."""

import base64
import hashlib
import html
import re
from pathlib import Path
from typing import Any

import pytest

from tasks import reporting
from tasks.markdown import gate_lines, render_markdown
from tasks.report import render_report
from tasks.reporting import METRICS, summarise
from tasks.run import STAGES

KEYS = [
    "run_id", "month", "origin", "status", "model", "rows", "k", "space", "embedding", "features",
    "metrics", "segments", "gates", "seconds", "run_dir", "report",
]  # fmt: skip
SVG = b'<?xml version="1.0"?><svg viewBox="0 0 9 9"><path d="M0 0"/></svg>'


def manifest(until: str = "publication", **facts: Any) -> dict[str, Any]:
    """A manifest as it stands once `until` is committed."""
    logs: dict[str, dict[str, Any]] = {
        "raw": {"rows": 600, "objected": 2, "left_out": ["SHOE SIZE"]},
        "clean": {"kept": 590},
        "scaled": {"features": ["a", "b"]},
        "selection": {"k": 3, "space": "none", "why": "3: the best silhouette"},
        "embedding": {"dimensions": ["a", "b"]},
        "segments": {"ids": ["S01"], "metrics": {"silhouette": 0.2, "inertia": 7.0}},
        "publication": {
            "segments": [
                {"id": "S01", "name": "S01", "size": 590, "share": 1.0, "value_share": None}
            ]
        },
    }
    done = STAGES[: STAGES.index(until) + 1] if until else ()
    gate = {"rows": 600, "evaluated": 9, "failed": []}
    return {
        "run_id": "2026-10-0badcafe", "month": "2026-10", "origin": "real",
        "status": "candidate", "model": "challenger", "source": {"uri": "customers.csv"},
        "parameters": {"preset": "monthly"}, "contract": {"name": "shop"},
        "versions": {"resegment": "0.1.0"},
        "rows": {"source": 600, "kept": 590, "quarantined": 8, "objected": 2},
        "stages": {stage: {"log": logs[stage], "seconds": 0.5} for stage in done},
        "gates": {stage: {"stage": stage, "verdict": "pass", **gate} for stage in done},
        "attachments": {"figures/a.png": {"seconds": 0.1}, "figures/b.png": {"seconds": 0.2}},
        **facts,
    }  # fmt: skip


@pytest.mark.parametrize("until", ["", *STAGES])
def test_a_run_cut_off_anywhere_is_told_with_every_key(until: str) -> None:
    stopped = manifest(until, status="refused", error="no")
    if not until:  # nothing has been entered yet
        for name in ("rows", "gates", "attachments"):
            del stopped[name]
    summary = summarise(stopped, Path("runs/x"))
    assert set(KEYS) <= set(summary)
    assert list(summary["metrics"]) == METRICS
    assert "2026-10" in render_markdown(summary, {"segments": SVG})
    assert "2026-10-0badcafe" in render_report(summary, [])


def test_what_is_not_known_is_null_and_what_is_known_is_there() -> None:
    summary = summarise(manifest(), Path("runs/x"))
    assert (summary["k"], summary["space"], summary["features"]) == (3, "none", ["a", "b"])
    assert summary["metrics"]["silhouette"] == 0.2
    assert summary["metrics"]["bootstrap_ari"] is None
    assert summary["segments"][0]["size"] == 590
    assert summary["seconds"]["raw"] == 0.5
    assert summary["seconds"]["figures"] == pytest.approx(0.3)
    assert any("SHOE SIZE" in warning for warning in summary["warnings"])


def failed(rule: str, severity: str, broken_rows: int | None = None) -> dict[str, Any]:
    return {
        "rule": rule, "says": f"{rule} holds", "severity": severity, "held": False,
        "evaluated": True, "broken_rows": broken_rows, "first_row": None, "observed": "",
    }  # fmt: skip


def test_what_did_not_hold_is_a_warning_unless_it_stopped_the_run() -> None:
    rules = [failed("sums", "warn", 1200), failed("ids", "set_aside", 3), failed("size", "ask")]
    told = manifest()
    told["gates"]["raw"] |= {"rows": 8000, "failed": [*rules, failed("types", "refuse")]}
    summary = summarise(told, Path("x"))
    assert summary["warnings"][1:] == [
        "raw: sums holds: 1,200 of 8,000 rows do not",
        "raw: ids holds: 3 of 8,000 rows do not and are set aside",
        "raw: size holds: not so",
    ]
    (line, *_) = gate_lines(summary)
    assert line["did not hold"] == (
        "sums holds (1,200 rows); ids holds (< 5 rows); size holds; types holds"
    )
    assert "3 of 8,000" not in render_report(summary, [])


HOSTILE = "<script>alert(1)</script> | *x*"


def test_a_hostile_name_stays_text_in_the_report() -> None:
    hostile = manifest(source={"uri": HOSTILE}, error=HOSTILE, status="refused")
    hostile["stages"]["publication"]["log"]["segments"][0]["name"] = HOSTILE
    page = render_report(summarise(hostile, Path("runs/x")), [])
    assert page.count("<script") == 1  # our own, which sorts tables
    assert page.count("&lt;script&gt;") >= 3


def test_a_hostile_name_breaks_no_table_of_the_prefect_page() -> None:
    hostile = manifest()
    name = "a | b \\| c\n| d <img src=x>"
    hostile["stages"]["publication"]["log"]["segments"][0]["name"] = name
    page = render_markdown(summarise(hostile, Path("runs/x")), {})
    (row,) = [line for line in page.splitlines() if line.startswith("| **a ")]
    assert row.count("|") == 8
    assert html.unescape(row.split("|")[1]).split() == f"**{name}** S01".split()
    assert "<img" not in page


def test_the_report_needs_nothing_but_itself() -> None:
    summary = summarise(manifest(), Path("runs/x"))
    page = render_report(summary, [], [], ["figures/segments"], SVG)
    assert page.count("<svg") == 1
    wanted = re.findall(r"(?:src|href)=\"([^\"]*)", page) + re.findall(r"url\(([^)]*)", page)
    assert wanted
    assert all(one.startswith("#") for one in wanted)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; ")
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    told = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{told}'" in policy


def test_a_stopped_run_shows_why_and_a_synthetic_one_says_so() -> None:
    refused = summarise(
        manifest("raw", status="refused", error="raw: 7 rows", origin="synthetic"), Path("x")
    )
    for page in (render_report(refused, []), render_markdown(refused, {})):
        assert "raw: 7 rows" in page
        assert "590 customers keep every rule" in page  # there is no segmentation
        assert "synthetic" in page.lower()
    real = summarise(manifest(), Path("x"))
    for page in (render_report(real, []), render_markdown(real, {})):
        assert "synthetic" not in page.lower()


@pytest.mark.parametrize(
    "value, shown", [(None, "-"), (0.1234, "12.3%"), (1.0, "100.0%"), (0.0, "0.0%")]
)
def test_shares_are_percentages_and_a_dash_where_nothing_is_known(
    value: float | None, shown: str
) -> None:
    assert reporting.percent(value) == shown


def test_a_few_rows_set_aside_follow_from_no_number_of_the_report() -> None:
    told = manifest(rows={"source": 593, "kept": 590, "quarantined": 3, "objected": 0})
    told["gates"]["raw"] |= {"rows": 593, "failed": [failed("ids", "set_aside", 3)]}
    told["gates"]["clean"] |= {"rows": 590}
    summary = summarise(told, Path("x"))
    for page in (render_report(summary, []), render_markdown(summary, {})):
        assert "590 customers are in the segmentation; &lt; 5 rows" in page or "; < 5 rows" in page
        assert "593" not in page
