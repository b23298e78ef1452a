"""Bad input for the command, and what it told: one message, one JSON object, no traceback."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd


def error_told(resegment: Callable[..., Any], *words: object, code: int) -> str:
    """The message of a call that fails, the same as text and as JSON."""
    plain, as_json = resegment(*words), resegment(*words, "--json")
    said = one_object(as_json)
    assert set(said) == {"error", "exit_code"}
    assert plain.exit_code == as_json.exit_code == said["exit_code"] == code
    assert plain.stdout == ""
    assert plain.stderr == as_json.stderr == f"error {said['error']}\n"
    return said["error"]


def one_object(result: Any) -> dict[str, Any]:
    """The object that is all of standard output; `Infinity` and `NaN` are no JSON."""
    assert "Traceback" not in result.output
    assert result.stdout.endswith("}\n"), result.output
    said = json.loads(result.stdout, parse_constant=lambda name: f"{name} is no JSON")
    assert "is no JSON" not in json.dumps(said)
    return said


def invoke(*words: object) -> Any:
    """The command, where no run folder is touched or it is given."""
    from typer.testing import CliRunner

    from deployments.cli import app

    return CliRunner().invoke(app, [str(word) for word in words])


def files_of(folder: Path) -> set[str]:
    """Every file of a run but its lock; nothing unfinished is left."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(path) for path in found} - {".lock"}


def csv_bytes(table: pd.DataFrame, **settings: Any) -> bytes:
    return table.to_csv(index=False, **settings).encode()


def parquet_bytes(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    return buffer.getvalue()
