"""A table of another kind runs end to end, and no column of any table stands in the code."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from expectations.contract import Contract

ROOT = Path(__file__).resolve().parents[1]

TELCO = """
name: telco
id: {column: subscriber, pattern: "[a-f0-9]{8}"}
value: monthly_bill
columns:
  monthly_bill: {kind: money, meaning: "what the subscriber pays in a month"}
  calls: {kind: count, aliases: [Number of calls]}
  data_share: {kind: share, meaning: "share of the traffic that is data"}
  contract_months: {kind: months, high: 60}
  satisfaction: {kind: score, low: -5, high: 5, max_null_share: 0.1}
  plan: {kind: category, values: [basic, plus, max]}
  pays_by_card: {kind: flag}
  no_profiling: {kind: objection_flag}
rules:
  - {name: bill_or_calls, test: together, columns: [monthly_bill, calls], severity: set_aside}
""".replace("{kind: objection_flag}", "{kind: flag, use: objection}")


@pytest.fixture
def telco() -> pd.DataFrame:
    """Two thousand subscribers in three planted groups; forty of them object."""
    rng = np.random.default_rng(5)
    group = rng.choice(3, 2000, p=[0.5, 0.3, 0.2])
    return pd.DataFrame(
        {
            "subscriber": [f"{number:08x}" for number in rng.permutation(10_000)[:2000] + 2**28],
            "Monthly Bill": np.exp(rng.normal(np.array([2, 4, 6])[group], 0.25)).round(2),
            "Number of calls": rng.poisson(np.array([4, 200, 30])[group]) + 1,
            "data_share": rng.beta(*np.array([[5, 5], [2, 8], [8, 2]])[group].T).round(4),
            "contract_months": rng.integers(1, 49, 2000),
            "satisfaction": np.where(rng.random(2000) < 0.05, np.nan, rng.normal(0, 1, 2000)),
            "plan": np.array(["basic", "plus", "max"])[group],
            "pays_by_card": np.where(rng.random(2000) < 0.5, "yes", "no"),
            "no_profiling": np.where(np.arange(2000) % 50 == 3, "yes", "no"),
        }
    )


def test_a_table_of_another_kind_runs_end_to_end(
    telco: pd.DataFrame,
    resegment: Callable[..., Any],
    csv_of: Callable[..., Path],
    tmp_path: Path,
) -> None:
    contract = tmp_path / "telco.yaml"
    contract.write_text(TELCO)
    words = (
        "run",
        "--source",
        csv_of(telco),
        "--contract",
        contract,
        "--segments",
        "3",
        "--embedding",
        "none",
        "--json",
    )
    result = resegment(*words)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["rows"] == {"source": 2000, "kept": 1960, "quarantined": 0, "objected": 40}
    assert set(summary["features"]) == {"monthly_bill", "calls", "data_share"}
    noise = {one["column"] for one in summary["left_out"]}  # they say nothing of the others
    assert noise == {"contract_months", "satisfaction"}
    folder = Path(summary["run_dir"])
    profile = pd.read_parquet(folder / "publication.parquet").set_index("segment")
    assert {"plan = basic", "plan = plus", "plan = max", "pays_by_card = yes"} <= set(profile)
    plans = profile[["plan = basic", "plan = plus", "plan = max"]]
    assert plans.sum(axis=1).to_numpy() == pytest.approx(1)
    # the planted groups are found again: each segment is nearly one plan, which was no feature
    assert (plans.max(axis=1) > 0.95).all()
    assert profile["value_share"].sum() == pytest.approx(1)
    assert_nowhere(folder, telco.loc[telco["no_profiling"] == "yes", "subscriber"].tolist())


def assert_nowhere(folder: Path, objected: list[str]) -> None:
    """No objecting customer's id is in any file of the run, packed Parquet columns included."""
    assert len(objected) == 40
    for path in folder.rglob("*.parquet"):
        table = pd.read_parquet(path).astype(str)
        assert not table.isin(objected).any(axis=None), path
    for path in (one for one in folder.rglob("*") if one.is_file()):
        content = path.read_bytes()
        assert not [one for one in objected if one.encode() in content], path


def test_no_column_of_a_table_stands_in_the_code(ccdata: Contract) -> None:
    named = re.compile(rf"\b({'|'.join({ccdata.id.column, *ccdata.columns})})\b")
    modules = [
        path
        for package in ("flows", "tasks", "expectations", "deployments")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "sample.py"
    ]
    assert len(modules) > 20
    for path in modules:
        assert not named.findall(path.read_text()), path
