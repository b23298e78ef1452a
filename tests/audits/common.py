"""What the audits share: the tables they look at, and figures beside what is asked of them."""

import argparse
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from expectations.contract import Contract
from expectations.errors import InputError
from tasks.candidates import select_segments
from tasks.embedding import EmbeddingOptions
from tasks.fetching import fetch, fetched_table
from tasks.outcome import Outcome
from tasks.plain_rule import PlainRuleOptions
from tasks.sample import draw_month
from tasks.scaling import ScalingOptions, scale_customers
from tasks.selection import SelectionOptions
from tests.audits.judges import CONTRACT, MONTH, ROWS, clean_table

WIDTH = 120
PLAIN = EmbeddingOptions(embedding="none")
OPTIONS = SelectionOptions()

Step = TypeVar("Step")


class Figure(NamedTuple):
    """A line of a table of figures; `holds` is None where nothing is asked."""

    name: str
    found: str
    spread: str
    asked: str
    holds: bool | None


def counted(name: str, hits: Sequence[bool], least: tuple[int, int] | None = None) -> Figure:
    """How many draws hit; `least` is (31, 36) for 31 of 36, and of fewer draws as large a part.

    None hold where none were drawn.
    """
    found = f"{sum(hits)} of {len(hits)}"
    if least is None:
        return Figure(name, found, "", "", None)
    wanted = math.ceil(least[0] / least[1] * len(hits) - 1e-9)
    asked = f"at least {wanted} of {len(hits)}"
    return Figure(name, found, "", asked, bool(hits) and sum(hits) >= wanted)


def measured(
    name: str,
    values: Sequence[float],
    low: float = -math.inf,
    high: float = math.inf,
    each: bool = False,
    digits: int = 3,
) -> Figure:
    """Mean and spread of a figure; the mean, or `each` value, is to lie from low to high."""
    asked = asked_in_words(low, high, each, digits)
    if not len(values):
        return Figure(name, "none", "", asked, False if asked else None)
    judged = np.asarray(values if each else [np.mean(values)])
    holds = bool(np.all((judged >= low) & (judged <= high)))  # a NaN does not
    return Figure(
        name, mean_of(values, digits), range_of(values, digits), asked, holds if asked else None
    )


def asked_in_words(low: float, high: float, each: bool, digits: int) -> str:
    """What is asked of a figure; empty where nothing is."""
    ends = [f"{low:.{digits}f} or more"] * math.isfinite(low)
    ends += [f"{high:.{digits}f} or less"] * math.isfinite(high)
    both = f"{low:.{digits}f} to {high:.{digits}f}"
    words = both if len(ends) == 2 else "".join(ends)
    return f"{'each' if each else 'mean'} {words}" if words else ""


def mean_of(values: Sequence[float], digits: int = 3) -> str:
    """Mean and standard deviation over the draws."""
    more = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{more}"


def range_of(values: Sequence[float], digits: int = 3) -> str:
    """Lowest and highest."""
    return f"{np.min(values):.{digits}f} .. {np.max(values):.{digits}f}"


def tell(title: str, figures: Iterable[Figure], console: Console | None = None) -> bool:
    """Print the figures beside what is asked of them; returns whether all of it holds."""
    lines = list(figures)
    table = Table("figure", "found", "lowest .. highest", "asked for", "holds", title=title)
    for line in lines:
        said = "" if line.holds is None else "yes" if line.holds else "NO"
        table.add_row(line.name, line.found, line.spread, line.asked, said)
    (console or Console(width=WIDTH)).print(table)
    return all(line.holds is not False for line in lines)


def number_of_draws(argv: Sequence[str], default: int, doc: str | None) -> int:
    """Read `--draws`; the default is what the bounds are asked of."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument(
        "--draws", type=int, default=default, help="how many (default: %(default)s)"
    )
    return int(parser.parse_args(argv).draws)


def one_by_one(what: str, steps: Iterable[Step]) -> Iterator[Step]:
    """The steps, each told on standard error when its turn comes."""
    everything, start = list(steps), time.monotonic()
    console = Console(stderr=True, highlight=False)
    for number, step in enumerate(everything, 1):
        seconds = time.monotonic() - start
        console.print(f"{what}: {number} of {len(everything)} ({seconds:.0f} s so far)")
        yield step


def reference_table() -> pd.DataFrame:
    """The cleaned reference table; its figures are asked of no other."""
    if path := os.environ.get("CCDATA_CSV"):
        return clean_table(fetch(path))
    raise InputError(
        "audit: its figures are those of the reference table. "
        'Set CCDATA_CSV to its path: CCDATA_CSV="CC GENERAL.csv" make audit'
    )


def synthetic_month(seed: int, rows: int = ROWS) -> pd.DataFrame:
    """A cleaned synthetic month."""
    return clean_table(fetched_table(draw_month(rows, MONTH, seed).table, "synthetic month"))


def selection(
    scaled: pd.DataFrame,
    clean: pd.DataFrame,
    contract: Contract,
    seed: int,
    embedding: EmbeddingOptions = PLAIN,
) -> Outcome:
    """Choose segments as a first month does; only the spaces are left out, unless asked for."""
    return select_segments(scaled, clean, contract, OPTIONS, embedding, PlainRuleOptions(), seed)


def selection_of(clean: pd.DataFrame, seed: int, contract: Contract = CONTRACT) -> Outcome:
    """Scale the customers, with the filters, and choose segments."""
    scaled = scale_customers(clean, contract, ScalingOptions()).table
    return selection(scaled, clean, contract, seed)


def chosen_line(outcome: Outcome) -> dict[str, float]:
    """The chosen candidate's figures; empty where none was."""
    lines = outcome.table[outcome.table["chosen"]].to_dict("records")
    return lines[0] if lines else {}


def k_in_words(outcome: Outcome) -> str:
    """The chosen k, or that none was."""
    return str(outcome.log["k"] or "none")


def tallied(words: Sequence[str]) -> str:
    """How often each occurred: "7 x 31, 8 x 5"."""
    return ", ".join(f"{one} x {words.count(one)}" for one in sorted(set(words))) or "nothing"
