"""Choose the reference table's segments under ten seeds: ``python -m tests.audits.reference``.

Everything is on auto but the space, which is plain; then once with the spaces compared.
"""

import os
import sys
from collections.abc import Sequence
from math import inf

from rich.console import Console
from rich.table import Table

from deployments.ephemeral import quiet_environment
from tasks.embedding import EmbeddingOptions
from tasks.outcome import Outcome
from tasks.scaling import ScalingOptions, scale_customers
from tests.audits.common import (
    WIDTH,
    Figure,
    chosen_line,
    counted,
    k_in_words,
    measured,
    number_of_draws,
    one_by_one,
    reference_table,
    selection,
    tell,
)
from tests.audits.judges import CONTRACT

SEEDS, K = 10, 7
ASKED = {
    "bootstrap_ari": (0.93, inf),
    "worst_jaccard": (0.90, inf),
    "survival": (0.90, inf),
    "silhouette": (0.238, 0.248),
    "eta_squared": (0.508, 0.528),
}


def figures_of(outcomes: Sequence[Outcome]) -> list[Figure]:
    """How often k was 7, and what the chosen lines say where it was."""
    ks = [outcome.log["k"] for outcome in outcomes]
    lines = [chosen_line(outcome) for outcome in outcomes if outcome.log["k"] == K]
    bounds = [
        measured(f"{name} at k = {K}", [line[name] for line in lines], low, high, each=True)
        for name, (low, high) in ASKED.items()
    ]
    return [counted(f"k = {K}", [k == K for k in ks], least=(9, 10)), *bounds]


def table_of(outcomes: Sequence[Outcome]) -> Table:
    """One line per seed."""
    table = Table("seed", "k", *ASKED, title="The chosen line under each seed")
    for seed, outcome in enumerate(outcomes):
        line = chosen_line(outcome)
        figures = [f"{line[name]:.3f}" if line else "" for name in ASKED]
        table.add_row(str(seed), k_in_words(outcome), *figures)
    return table


def main(argv: Sequence[str] = ()) -> bool:
    """Choose under every seed and print k, the figures and the space; whether all bounds hold."""
    os.environ.update(quiet_environment(os.environ))
    seeds = number_of_draws(argv, SEEDS, __doc__)
    console = Console(width=WIDTH, highlight=False)
    clean = reference_table()
    scaled = scale_customers(clean, CONTRACT, ScalingOptions()).table
    outcomes = [
        selection(scaled, clean, CONTRACT, seed)
        for seed in one_by_one("reference table, seed", range(seeds))
    ]
    for _ in one_by_one("reference table, spaces compared", [0]):
        compared = selection(scaled, clean, CONTRACT, 0, EmbeddingOptions())
    console.print(table_of(outcomes))
    console.print(f"k: {compared.log['why']}")
    console.print(f"space: {compared.log.get('why_space', 'none: no k is stable')}")
    return tell(f"The reference table, {len(clean):,} customers", figures_of(outcomes))


if __name__ == "__main__":
    raise SystemExit(not main(sys.argv[1:]))
