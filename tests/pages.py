"""Reports of planted months, made by the plain functions and without a flow, to be looked at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from expectations.contract import Contract, parse_contract
from expectations.rules import ROW
from tasks import explaining, exploration, figures
from tasks.figures_changes import draw_causes, draw_migration
from tasks.keeping import WRITERS
from tasks.outcome import Outcome
from tasks.palette import hex_of
from tasks.products import next_products
from tasks.publication import publish_segments
from tasks.report import render_report
from tasks.reporting import summarise

CONTRACT = """
name: shop
id: {column: customer, pattern: "K[0-9]{4}"}
value: spend
columns:
  spend: {kind: money, meaning: "money spent"}
  visits: {kind: count, meaning: "visits"}
  returns: {kind: share, meaning: "share of orders sent back"}
  gifts: {kind: money, meaning: "gift cards bought"}
  region: {kind: category, meaning: "where they live"}
personas:
  - {name: Big spenders, code: B1, when: {spend: {at_least: 300}},
     actions: {retention: "A named contact.", campaign: "Early access to the sale."}}
  - {name: Often sending back, code: R1, when: {returns: {at_least: 0.6}}, care: true,
     actions: {retention: "Ask what does not fit.", campaign: "Help with sizes; no credit."}}
products:
  - {name: Gift cards, columns: [gifts]}
"""
MONTH, BEFORE = "2026-10", "2026-09"
HOSTILE = "<script>alert('1')</script>\u202e\"|`[x](javascript:alert(1))` ${7*7}$ \n=cmd()"
EACH = 70  # customers of a segment


def contract_with(**changes: Any) -> Contract:
    """The planted contract, some of its parts changed."""
    return parse_contract(CONTRACT.encode(), "pages").model_copy(update=changes)


def hostile() -> Contract:
    """The contract with texts that want to be more than text."""
    contract = contract_with()
    *others, region = contract.columns
    columns = {name: contract.columns[name] for name in others}
    columns["spend"] = columns["spend"].model_copy(update={"meaning": HOSTILE})
    big, care = contract.personas
    actions = big.actions.model_copy(update={"retention": HOSTILE, "campaign": "word" * 2500})
    personas = (big.model_copy(update={"name": HOSTILE * 200, "actions": actions}), care)
    (cards,) = contract.products
    return contract_with(
        columns={**columns, HOSTILE: contract.columns[region]},
        personas=personas,
        products=(cards.model_copy(update={"name": HOSTILE * 200}),),
    )


def customers(k: int) -> tuple[pd.DataFrame, pd.Series]:
    """Customers of `k` groups along a line of spending, and the segment of each."""
    rng = np.random.default_rng(k)
    group = np.repeat(np.arange(k), EACH)
    n = len(group)
    spend = np.exp(2 + group * 5 / k + rng.normal(0, 0.2, n))
    clean = pd.DataFrame(
        {
            ROW: np.arange(n) + 2,
            "customer": [f"K{number:04d}" for number in range(n)],
            "spend": spend,
            "visits": np.round(spend / 10 + rng.integers(0, 4, n)),
            "returns": np.where(group == 0, 0.8, 0.1) + rng.uniform(0, 0.1, n),
            "gifts": np.where(rng.random(n) < 0.2 + 0.6 * (group % 2), spend / 5, 0.0),
            "region": np.where(rng.random(n) < 0.2 + 0.7 * (group == 1), "north", "south"),
        }
    )
    return clean, pd.Series([f"S{one + 1:02d}" for one in group])


def month_of(
    k: int, contract: Contract, names: Mapping[str, str], compared: bool
) -> tuple[Outcome, pd.DataFrame, pd.DataFrame, Outcome]:
    """A published month: its publication stage, its segments, its customers, their offers."""
    clean, segment = customers(k)
    *_, described = contract.columns
    values = {"north": f"{described} north", "south": f"{described} south"}
    clean = clean.assign(region=clean["region"].replace(values)).rename(
        columns={"region": described}
    )
    ids = sorted(segment.unique())
    following = segment.map(dict(zip(ids, [*ids[1:], ids[0]], strict=True)))
    segments = pd.DataFrame(
        {
            "customer": clean["customer"],
            **{f"challenger_{name}": one for name, one in (
                ("segment", segment), ("confidence", 0.95), ("runner_up", following))},
            "champion_segment": segment if compared else None,
        }
    )  # fmt: skip
    offers = next_products(clean, contract, k, 0)
    terms = terms_of(ids, names, compared)
    previous = last_month(clean, segment, following) if compared else None
    aside = clean.iloc[:0]
    made = publish_segments(
        segments, clean, clean, aside, contract, terms, previous, offers=offers.table
    )
    return made, segments, clean, offers


def terms_of(ids: Sequence[str], names: Mapping[str, str], compared: bool) -> dict[str, Any]:
    """What `publish_segments` is told beside the tables."""
    return {
        "month": MONTH, "whose": "challenger", "ids": list(ids),
        "born": [] if compared else list(ids), "erased": {}, "names": dict(names), "colours": {},
        "sizes": dict.fromkeys(ids, EACH) if compared else {}, "seed": 0,
    }  # fmt: skip


def last_month(clean: pd.DataFrame, segment: pd.Series, following: pd.Series) -> pd.DataFrame:
    """Assignments of the month before: a tenth was in the next segment."""
    is_moved = np.arange(len(clean)) % 10 == 0
    return pd.DataFrame(
        {
            "customer_id": clean["customer"], "segment_id": segment.mask(is_moved, following),
            "confidence": 0.95, "runner_up": following, "status": "stayed", "cause": None,
            "previous": segment, "since": BEFORE, "assessed": BEFORE, "value": clean["spend"],
            "row_hash": 0,
        }
    )  # fmt: skip


def page(
    k: int = 4,
    *,
    contract: Contract | None = None,
    names: Mapping[str, str] | None = None,
    compared: bool = True,
    **facts: Any,
) -> str:
    """The report of a planted month; `facts` are put over those of its manifest."""
    contract = contract or contract_with()
    made, segments, clean, offers = month_of(k, contract, names or {}, compared)
    summary = summarise(manifest(k, contract, made, compared, **facts), Path("/runs/x"))
    reasons = reasons_of(made, segments, clean, offers, contract)
    drawn = {
        f"figures/{name}": one for name, one in pictures(made, reasons, clean, contract).items()
    }
    kept = {**reasons, **drawn}
    return render_report(summary, [], offers.log["products"], list(kept), *kept.values())


def reasons_of(
    made: Outcome, segments: pd.DataFrame, clean: pd.DataFrame, offers: Outcome, contract: Contract
) -> dict[str, Any]:
    """What the step `explain` keeps."""
    known = segments, clean, contract, "challenger", 5
    return {
        "reasons/profiles": explaining.profiles_told(made.table, 5),
        "reasons/differences": explaining.reasons_of(*known),
        "reasons/disparities": explaining.disparities_of(*known),
        "reasons/rules": explaining.rules_of(*known, 0),
        "reasons/use": explaining.use_of(*known),
        "reasons/offers": explaining.offers_by_segment(
            offers.table, segments, made.table, "challenger"
        ),
    }


def pictures(
    made: Outcome, reasons: Mapping[str, Any], clean: pd.DataFrame, contract: Contract
) -> dict[str, bytes]:
    """What the step `draw` keeps, as SVG."""
    import io

    lines = made.log["segments"]
    names = {one["id"]: one["name"] for one in lines}
    colours = {one["id"]: hex_of(one["colour"]) for one in lines}
    kinds = {name: column.kind for name, column in contract.kept.items()}
    profiles, differences = reasons["reasons/profiles"], reasons["reasons/differences"]
    drawn = {
        "segments": figures.draw_segments(profiles, colours),
        "profiles": figures.draw_profiles(profiles, list(contract.numeric)),
        "distributions": figures.draw_distributions(exploration.distributions(clean, contract, 5)),
    }
    for of, colour in colours.items():
        drawn[f"card-{of}"] = figures.draw_card(differences, of, colour, kinds)
    if made.log["changes"]["compared"]:
        drawn["migration"] = draw_migration(made.learned["migration.parquet"], names, colours, 5)
        drawn["causes"] = draw_causes(made.log["changes"], 5)
    written = {}
    for name, figure in drawn.items():
        file = io.BytesIO()
        WRITERS[".svg"](file, figure)
        written[name] = file.getvalue()
    return written


def manifest(
    k: int, contract: Contract, made: Outcome, compared: bool, **facts: Any
) -> dict[str, Any]:
    """The manifest of such a month."""
    logs: dict[str, dict[str, Any]] = {
        "raw": {"rows": k * EACH, "objected": 0, "left_out": ["SHOE SIZE", "W" * 5000]},
        "clean": {},
        "scaled": {"features": ["spend", "returns"], "dropped": []},
        "selection": {"k": k, "space": "none", "why": f"{k}: as asked for", "elbow": 3},
        "segments": {"metrics": {"silhouette": 0.24, "survival": 0.97}},
        "publication": made.log,
    }
    gate = {"rows": k * EACH, "verdict": "pass", "evaluated": 9, "failed": []}
    return {
        "run_id": "2026-10-0badcafe", "month": MONTH, "origin": "real", "status": "published",
        "model": "challenger", "source": {"uri": "customers.csv"}, "versions": {"resegment": "1"},
        "contract": {"name": contract.name}, "parameters": {"preset": "monthly"},
        "rows": {"source": k * EACH + 12, "kept": k * EACH, "quarantined": 12, "objected": 0},
        "base": {"previous_month": BEFORE if compared else None, "gap": 0, "fit": "freely"},
        "stages": {stage: {"log": log, "seconds": 0.5} for stage, log in logs.items()},
        "gates": {stage: {"stage": stage, **gate} for stage in logs},
        **facts,
    }  # fmt: skip
