"""Run the audits one after the other: ``python -m tests.audits``, or some: ``--only cost truth``.

Each prints its figures beside what is asked of them; at the end one table tells which hold.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from expectations.errors import InputError
from tests.audits.common import WIDTH

AUDITS: Mapping[str, str] = MappingProxyType(
    {
        "reference": "The reference table's segments",
        "subsamples": "Seven segments among other customers",
        "names": "Segments called after the personas",
        "truth": "Planted segments, and noise",
        "confidence": "Confidence against what came true",
        "filters": "Noise columns and near-copies",
        "plain_rule": "K-means or a plain rule",
        "autoencoder": "What the autoencoder rebuilds",
        "judges": "Rows that fit nowhere",
        "months": "Twelve months in a row",
        "cost": "Selection's time on large tables",
    }
)


class Audited(NamedTuple):
    """How an audit ended; `holds` is None where it judges nothing itself."""

    name: str
    holds: bool | None
    seconds: float
    words: str = ""


def audited(name: str, console: Console) -> Audited:
    """Run an audit; one that lacks the reference table does not hold, and says so."""
    console.rule(f"{name}: {AUDITS[name]}")
    start, words = time.monotonic(), ""
    try:
        holds = import_module(f"tests.audits.{name}").main()
    except InputError as missing:
        holds, words = False, str(missing)
        console.print(words, highlight=False)
    seconds = time.monotonic() - start
    console.print(f"{name}: {seconds:.0f} seconds", highlight=False)
    return Audited(name, holds, seconds, words)


def table_of(found: Sequence[Audited]) -> Table:
    """One line per audit."""
    table = Table("audit", "what", "seconds", "holds", title="Audits")
    said = {True: "yes", False: "NO", None: "its tables tell"}
    for one in found:
        more = f": {one.words}" if one.words else ""
        table.add_row(one.name, AUDITS[one.name], f"{one.seconds:.0f}", f"{said[one.holds]}{more}")
    return table


def main(argv: Sequence[str] = ()) -> bool:
    """Run all audits or those named; whether all that judge hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.audits", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=AUDITS, default=list(AUDITS), metavar="NAME")
    console = Console(width=WIDTH)
    found = [audited(name, console) for name in parser.parse_args(argv).only]
    console.print(table_of(found))
    return all(one.holds is not False for one in found)


if __name__ == "__main__":
    raise SystemExit(not main(sys.argv[1:]))
