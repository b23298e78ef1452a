"""What the report says in sentences: the headline, the figures at a glance, method and limits."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tasks.cards import Parts, sizes_told
from tasks.reporting import CAPTIONS, percent
from tasks.small_counts import few, rows_told

CONTINUUM = 0.25  # Kaufman and Rousseeuw 1990: below it a silhouette shows no substantial structure


def headline(summary: Mapping[str, Any]) -> str:
    """The month in one sentence."""
    if summary["status"] in ("refused", "failed"):
        return "Nothing was published this month; last month's segments stay as they are."
    k, rows, changes = summary["k"], summary["rows"], summary["changes"] or {}
    said = f"{rows['kept']:,} customers in {k} segments"
    if changes.get("compared") and changes["churn"] is not None:
        noise = (changes["noise"] or {}).get("share")
        floor = "" if noise is None else f" ({noise:.1%} would by noise alone)"
        said += f"; {changes['churn']:.1%} have moved since last month{floor}"
    return f"{said}."


def tiles(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """The figures at a glance, those that are known."""
    rows, metrics, changes = summary["rows"], summary["metrics"], summary["changes"] or {}
    gates = [gate["verdict"] for gate in summary["gates"]]
    value = summary["value"]
    known = [
        (rows and f"{rows['kept']:,}", "customers"),
        (summary["k"] and str(summary["k"]), "segments"),
        (value and short_sum(value["total"]), value and value["meaning"]),
        (
            changes.get("compared") and percent(changes["churn"]),
            f"moved since last month; noise floor {percent(_noise_of(changes))}",
        ),
        (
            metrics["survival"] is not None and percent(metrics["survival"]),
            "of refits find the weakest segment again",
        ),
        (
            metrics["silhouette"] is not None and f"{metrics['silhouette']:.3f}",
            f"silhouette: {structure_in_words(metrics['silhouette'])}",
        ),
        (gates and f"{gates.count('pass')} of {len(gates)}", _gates_in_words(gates)),
    ]
    return [{"figure": str(figure), "about": str(about)} for figure, about in known if figure]


def short_sum(total: float) -> str:
    """A sum of money in few letters."""
    for size, letter in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if abs(total) >= 10 * size or (abs(total) >= size and letter != "k"):
            return f"{total / size:,.3g} {letter}"
    return f"{total:,.0f}"


def structure_in_words(silhouette: float | None) -> str:
    """What a silhouette says of the segments."""
    if silhouette is None or silhouette < CONTINUUM:
        return "a repeatable cut through a continuum"
    return "groups that stand apart"


def rows_said(summary: Mapping[str, Any]) -> str:
    """Where the source's rows went; a small count is not told, nor what would give it away."""
    if not summary["rows"]:
        return ""
    told = rows_told(summary["rows"], summary["min_cell"])
    source = f"Of {told['source']} rows read, " if told["source"] else ""
    kept = "are in the segmentation" if summary["segments"] else "keep every rule"
    return (
        f"{source}{told['kept']} customers {kept}; {told['quarantined']} rows "
        f"were set aside, with reasons; {told['objected']} customers object to profiling and were "
        "left out before anything was computed."
    )


def tells_source(summary: Mapping[str, Any]) -> bool:
    """Whether the number of rows read may be told: less those kept it is those left out."""
    rows = summary["rows"]
    return not rows or rows_told(rows, summary["min_cell"])["source"] is not None


def gates_told(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each gate with what did not hold, in words."""
    return [
        {**gate, "failed": [_failed_in_words(one, summary["min_cell"]) for one in gate["failed"]]}
        for gate in summary["gates"]
    ]


def _failed_in_words(failed: Mapping[str, Any], min_cell: int) -> str:
    if failed["broken_rows"] is not None:
        return f"{failed['says']} ({few(failed['broken_rows'], min_cell)} rows)"
    found = f" (found: {failed['observed']})" if failed["observed"] else ""
    return f"{failed['says']}{found}"


def method_in_words(summary: Mapping[str, Any], parts: Parts) -> list[str]:
    """How the segments were made and what they cannot say, for who is no statistician."""
    if not summary["k"]:
        return ["No segmentation was published from this run, so there is nothing to explain."]
    from tasks.scaling import left_out_in_words

    silhouette, rules = summary["metrics"]["silhouette"], parts.get("rules") or {}
    said = [
        f"Customers are compared by {', '.join(summary['features'])}. Money and counts count by "
        "their order of magnitude: from 10 to 100 is as far as from 100 to 1,000. "
        f"{left_out_in_words(summary['left_out'])}",
        "K-means then puts each customer into the segment whose middle is nearest. The number of "
        "segments is the largest that keeps being found when the customers are drawn anew, not "
        "the one that looks best in a picture.",
    ]
    if silhouette is not None and silhouette < CONTINUUM:
        said.append(
            f"The silhouette of {silhouette:.2f} is that of a continuum: customers shade into each "
            "other, and no gaps divide them. These segments are a repeatable cut through a "
            "continuum, not natural groups; near a border, a neighbour in the next segment may be "
            "the more similar customer."
        )
    if rules.get("accuracy"):
        said.append(
            "The rules on the cards explain the segments and do not make them. The tree that they "
            f"come from, of {rules['depth']} questions at most, puts {rules['accuracy']:.0%} of "
            "the customers where the segmentation has them; all figures on rules come from "
            "customers that they were not made from."
        )
    return [
        *said,
        "Differences say how often a customer of the segment has more than one from outside, of "
        "all pairs. There are no p-values on them: these columns made the segments, so a test "
        "would always call them different.",
        "That two things go together in a segment does not make one the cause of the other, and "
        "nothing here foretells what a campaign will do: keep the control group of each list "
        "aside, and compare.",
    ]


def alt(name: str, summary: Mapping[str, Any]) -> str:
    """What a picture shows, for who does not see it."""
    if name in ("segments", "profiles"):
        told = sizes_told(summary["segments"], summary["min_cell"])
        lines = [
            f"{one['name']} {percent(one['share'])} of customers"
            + ("" if one["value_share"] is None else f", {percent(one['value_share'])} of value")
            for one in summary["segments"]
            if told[one["id"]] is not None
        ]
        return f"{CAPTIONS[name]}. {'; '.join(lines)}."
    if name in ("migration", "causes"):
        return f"{CAPTIONS[name]}. {' '.join(summary['changes_in_words'])}"
    if name == "selection" and summary["why"]:
        return f"{CAPTIONS[name]}. Chosen: {summary['why']}."
    return f"{CAPTIONS[name]}."


def month_in_words(month: str) -> str:
    """`2026-10` as October 2026."""
    return pd.Period(month, "M").strftime("%B %Y")


def _noise_of(changes: Mapping[str, Any]) -> float | None:
    return (changes.get("noise") or {}).get("share")


def _gates_in_words(gates: Sequence[str]) -> str:
    others = [(word, gates.count(word)) for word in ("warn", "ask", "refuse") if word in gates]
    told = ", ".join(f"{n} {'warns' if w == 'warn' else w + 's'}" for w, n in others)
    return f"gates pass; {told}" if told else "gates pass"
