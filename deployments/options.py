"""Options that several commands have."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Runs = Annotated[
    Path, typer.Option("--runs", envvar="RESEGMENT_RUNS", help="Folder of the run folders.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show Prefect's log, and tracebacks.")]
Month = Annotated[str, typer.Option("--month", help="YYYY-MM; default: the last whole month.")]
ContractName = Annotated[
    str, typer.Option("--contract", help="A shipped contract's name, or a YAML file.")
]
LimitsGiven = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=VALUE",
        help="Set a limit or threshold, as max_quarantine_share=0.02 or min_survival=0.8.",
    ),
]
Delimiter = Annotated[str, typer.Option(help="Between cells, where it cannot be told.")]
Decimal = Annotated[str, typer.Option(help="'.' or ',', where it cannot be told.")]
Encoding = Annotated[str, typer.Option(help="As latin-1, where it cannot be told.")]
Query = Annotated[
    str, typer.Option(metavar="SQL", help="Of a database as source: one SELECT; :month is YYYY-MM.")
]
StoreUrl = Annotated[
    str, typer.Option("--store", metavar="URL", help="The segment store; else RESEGMENT_STORE.")
]
Preset = Literal["monthly", "notebook"]
Refit = Literal["auto", "always", "never"]
Publish = Literal["auto", "ask", "never"]
DONE = ("candidate", "published")

RUNS = Path("runs")
