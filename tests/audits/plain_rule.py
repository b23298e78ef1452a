"""Measure how often the plain rule is judged rightly: ``python -m tests.audits.plain_rule``.

Ten worlds that follow a rule, ten of Gaussian clusters that no such rule cuts out, each over five
seeds; then the reference table, if CCDATA_CSV names it. The last column is the excess against the
true groups: there is no structure beyond them, so it should be within twice its error of 0.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from expectations.contract import load_contract
from tasks.cleaning import clean_customers
from tasks.fetching import fetch
from tasks.ingestion import SourceOptions, read_customers
from tasks.plain_rule import PlainRule, PlainRuleOptions, judge_plain_rule, measure_excesses
from tests.worlds import GEOMETRIC_WORLDS, RULE_WORLDS, World, customer_world

SEEDS = range(5)
LEAST_RIGHT = 9  # of ten worlds of each kind
OPTIONS = PlainRuleOptions()
WIDTH = 150


def judged(world: World, seed: int) -> PlainRule:
    """Judge K-means, fitted once, against the rule."""
    found = judge_plain_rule(
        world.table, world.personas, world.X, world.columns, world.kmeans(), world.k, OPTIONS, seed
    )
    if found is None:
        raise ValueError("a world without a rule: nothing to judge")
    return found


def line(name: str, world: World, found: list[PlainRule], awaited: str) -> tuple[str, ...]:
    """Name, verdicts, the first seed's figures, and the excess against the true groups."""
    first = found[0]
    beyond, *_ = measure_excesses(world.X, world.truth, world.k, OPTIONS.null_draws, 0)
    return (
        name,
        awaited,
        " ".join(sorted({one.verdict for one in found})),
        f"{sum(one.verdict == awaited for one in found)}/{len(found)}" if awaited else "",
        f"{first.eta_written:.3f} {first.eta_tuned:.3f}",
        f"{first.lead:.3f} ± {first.lead_error:.4f}",
        ", ".join(f"{one.value:.4f} ± {one.error:.4f}" for one in first.excesses),
        f"{beyond.value:.4f} ± {beyond.error:.4f}" if awaited else "",
    )


def reference_world(path: Path) -> World:
    """The reference table with the contract's personas and seven segments."""
    contract = load_contract("ccdata")
    raw = read_customers(fetch(str(path)), contract, SourceOptions()).table
    return customer_world(clean_customers(raw, contract).table, contract, k=7)


def main(argv: Sequence[str] = ()) -> bool:
    """Judge every world over the seeds; whether nine of ten are told rightly of each kind."""
    console = Console(width=WIDTH)
    heads = (
        "world",
        "awaited",
        "verdicts",
        "right",
        "rule, tuned",
        "lead",
        "excess, each null",
        "beyond truth",
    )
    table = Table(*heads, title="Is K-means worth its complexity?")
    table.columns[0].no_wrap = True
    worlds = [(name, make, "rule") for name, make in RULE_WORLDS.items()]
    worlds += [(name, make, "K-means") for name, make in GEOMETRIC_WORLDS.items()]
    right = dict.fromkeys(("rule", "K-means"), 0)
    for name, make, awaited in worlds:
        console.print(f"{name}, {len(SEEDS)} seeds", highlight=False)
        world = make()
        found = [judged(world, seed) for seed in SEEDS]
        right[awaited] += found[0].verdict == awaited
        table.add_row(*line(name, world, found, awaited))
    undecided = False
    if path := os.environ.get("CCDATA_CSV"):
        world = reference_world(Path(path))
        found = [judged(world, seed) for seed in SEEDS]
        table.add_row(*line("reference table", world, found, ""))
        undecided = all(one.verdict == "undecided" for one in found)
        console.print(found[0].says)
    console.print(table)
    return undecided and min(right.values()) >= LEAST_RIGHT


if __name__ == "__main__":
    sys.exit(not main())
