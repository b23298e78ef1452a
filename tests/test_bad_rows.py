"""What bad rows and bad tables get: a few rows are set aside, too many refuse the month.

Everything through the real command. `check` asks the raw gate alone, with the messages and exit
codes of a `run`; what only a run folder can show is shown by a run of each kind.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from expectations.contract import CONTRACTS
from tests.told import csv_bytes, files_of, invoke, one_object, parquet_bytes

UNDER, ABOVE = 6, 7  # broken rows of 600: the quarantine may hold 1 %
ALL = 600

# --- rows that break a rule: set aside while they are few --------------------------------------


class Broken(NamedTuple):
    """A cell written into the first rows, and the rules that these then break."""

    column: str
    cell: Callable[[int, pd.Series], object]
    rules: tuple[str, ...]
    says: str
    where: Callable[[pd.DataFrame], pd.Series] | None = None


def always(cell: object) -> Callable[[int, pd.Series], object]:
    return lambda at, row: cell


def unread(column: str) -> tuple[str, ...]:
    return (f"{column}.readable", f"{column}.not_null")


def draws_cash(table: pd.DataFrame) -> pd.Series:
    return table["CASH_ADVANCE"] > 0


LIES = "BALANCE lies in 0 to 1e+09"
READ = "BALANCE can be read"
DEFECTS: Mapping[str, Broken] = {
    "id missing": Broken("CUST_ID", always(""), ("CUST_ID.not_null",), "CUST_ID is not missing"),
    "id NULL": Broken("CUST_ID", always("NULL"), unread("CUST_ID"), "CUST_ID can be read"),
    "id doubled": Broken(
        "CUST_ID", lambda at, row: f"C9999{at % 2}", ("CUST_ID.unique",), "CUST_ID is not doubled"
    ),
    "id malformed": Broken(
        "CUST_ID",
        lambda at, row: f"K-{at}",
        ("CUST_ID.matches",),
        "CUST_ID looks like C[0-9]{5} and has at most 200 letters",
    ),
    "missing": Broken("BALANCE", always(""), ("BALANCE.not_null",), "BALANCE is not missing"),
    "negative": Broken("BALANCE", always("-77.125"), ("BALANCE.between",), LIES),
    "infinite": Broken("BALANCE", always("inf"), ("BALANCE.between",), LIES),
    "huge": Broken("BALANCE", always("7.7125e300"), ("BALANCE.between",), LIES),
    "text": Broken("BALANCE", always("quite a lot"), unread("BALANCE"), READ),
    "NULL": Broken("BALANCE", always("NULL"), unread("BALANCE"), READ),
    "category": Broken("BALANCE", always("gold"), unread("BALANCE"), READ),
    "boolean": Broken("BALANCE", always(True), unread("BALANCE"), READ),
    "a million characters": Broken("BALANCE", always("x" * 1_000_000), unread("BALANCE"), READ),
    "a million digits": Broken("BALANCE", always("7" * 1_000_000), ("BALANCE.between",), LIES),
    "a fraction of a count": Broken(
        "PURCHASES_TRX", always("77.125"), ("PURCHASES_TRX.whole",), "PURCHASES_TRX is whole"
    ),
    "a broken identity": Broken(
        "CASH_ADVANCE_TRX",
        always(0),
        ("cash_advance_together",),
        "cash advances have an amount, a count and a frequency, or none of them",
        draws_cash,
    ),
}


def plant(table: pd.DataFrame, broken: Broken, rows: int) -> tuple[pd.DataFrame, list[int]]:
    """The table with the defect in its first rows, and these rows' lines in the file."""
    table = table.reset_index(drop=True).astype(object)
    fit = table.index[broken.where(table)] if broken.where else table.index
    assert len(fit) >= rows
    for at, index in enumerate(fit[:rows]):
        table.loc[index, broken.column] = broken.cell(at, table.loc[index])
    return table, [int(index) + 2 for index in fit[:rows]]


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_few_broken_rows_are_set_aside_counted_and_shown(
    defect: str, csv_of: Callable[..., Path], month_of_600: pd.DataFrame, tmp_path: Path
) -> None:
    broken = DEFECTS[defect]
    table, lines = plant(month_of_600, broken, UNDER)
    path, kept = csv_of(table), tmp_path / "refused.parquet"
    result = invoke("check", path, "--refused", kept, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    said = one_object(result)
    assert (said["verdict"], said["error"]) == ("warn", None)
    assert (said["rows"], said["refused_rows"], said["refused"]) == (ALL, UNDER, str(kept))
    counted = {one["rule"]: one for one in said["failed"] if one["severity"] == "set_aside"}
    assert set(counted) == set(broken.rules)
    assert {one["broken_rows"] for one in counted.values()} == {UNDER}
    assert {one["first_row"] for one in counted.values()} == {lines[0]}

    refused = pd.read_parquet(kept)
    assert refused["_row"].tolist() == lines
    assert set(refused["_reasons"]) == {", ".join(broken.rules)}

    shown = invoke("check", path)
    assert shown.exit_code == 0
    for rule in broken.rules:
        row = rf"^ *{re.escape(rule)} .* {UNDER} +{lines[0]} +set aside *$"
        assert re.search(row, shown.stdout, re.MULTILINE), shown.stdout
    assert f"{UNDER} of {ALL} rows break a rule that sets them aside; --refused" in shown.stdout
    assert_quotes_no_customer(table, lines, broken.column, result.stdout + shown.output)


@pytest.mark.parametrize("defect", DEFECTS)
def test_too_many_broken_rows_refuse_the_month(
    defect: str, csv_of: Callable[..., Path], month_of_600: pd.DataFrame, tmp_path: Path
) -> None:
    broken = DEFECTS[defect]
    table, lines = plant(month_of_600, broken, ABOVE)
    kept = tmp_path / "refused.parquet"
    result = invoke("check", csv_of(table), "--refused", kept, "--json")
    assert result.exit_code == 1
    said = one_object(result)
    assert (said["verdict"], said["refused_rows"]) == ("refuse", ABOVE)
    for words in (
        f"raw: {ABOVE} of {ALL} rows break a rule, but at most 1.00% of the rows are set aside",
        f"{ABOVE} of {ALL} rows break '{broken.says}' (first: row {lines[0]})",
        "Fix the extract, or raise the limit max_quarantine_share.",
    ):
        assert words in said["error"]
    assert pd.read_parquet(kept)["_row"].tolist() == lines
    assert_quotes_no_customer(table, lines, broken.column, result.output)


def assert_quotes_no_customer(
    table: pd.DataFrame, lines: list[int], column: str, output: str
) -> None:
    """Neither an id of the table nor a planted cell; a cell of a letter or two tells nothing."""
    assert "Traceback" not in output
    assert not set(re.findall("C[0-9]{5}", output)) & set(table["CUST_ID"])
    cells = {str(table.loc[line - 2, column])[:1000] for line in lines}
    for cell in cells - {"", "0", "NULL", "nan", "inf", "True"}:
        assert cell not in output


def test_a_row_of_too_many_cells_is_set_aside(
    csv_of: Callable[..., Path], month_of_600: pd.DataFrame, tmp_path: Path
) -> None:
    path, kept = csv_of(month_of_600), tmp_path / "refused.parquet"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*rows[:4], rows[4].replace(",", ",77.125,", 1), *rows[5:]]))
    result = invoke("check", path, "--refused", kept, "--json")
    assert (result.exit_code, one_object(result)["refused_rows"]) == (0, 1)
    refused = pd.read_parquet(kept).iloc[0]
    assert (refused["_row"], refused["_unreadable"]) == (5, '{"*": "19 cells where 18 belong"}')
    assert "77.125" not in result.output


# --- tables that break a rule: exit 1 ----------------------------------------------------------

WRONG_TABLES: Mapping[str, tuple[Callable[[pd.DataFrame], bytes], int, tuple[str, ...]]] = {
    "one row": (
        lambda t: csv_bytes(t.head(1)),
        0,
        ("there are between 100 and 50,000,000 rows (found: 1)",),
    ),
    "99 rows": (
        lambda t: csv_bytes(t.head(99)),
        0,
        ("there are between 100 and 50,000,000 rows (found: 99)",),
    ),
    "all null": (
        lambda t: csv_bytes(t.assign(BALANCE=None)),
        ALL,
        ("600 of 600 rows break 'BALANCE is not missing' (first: row 2)",),
    ),
    "all null, where gaps are allowed": (
        lambda t: csv_bytes(t.assign(MINIMUM_PAYMENTS=None)),
        0,
        ("at most 10.0% of MINIMUM_PAYMENTS are missing (found: 1)", "MINIMUM_PAYMENTS in the"),
    ),
    "constant": (
        lambda t: csv_bytes(t.assign(BALANCE=77.125)),
        0,
        ("BALANCE varies between customers (found: 1)", "use: describe for BALANCE"),
    ),
    "a category for a number": (
        lambda t: csv_bytes(t.assign(BALANCE=["gold", "silver"] * 300)),
        ALL,
        ("600 of 600 rows break 'BALANCE can be read' (first: row 2)",),
    ),
    "a category for a number, Parquet": (
        lambda t: parquet_bytes(t.assign(BALANCE=pd.Categorical(["gold", "silver"] * 300))),
        ALL,
        ("600 of 600 rows break 'BALANCE can be read' (first: row 1)",),
    ),
    "a boolean for a number": (
        lambda t: csv_bytes(t.assign(BALANCE=[True, False] * 300)),
        ALL,
        ("600 of 600 rows break 'BALANCE can be read' (first: row 2)",),
    ),
    "a boolean for a number, Parquet": (
        lambda t: parquet_bytes(t.assign(BALANCE=[True, False] * 300)),
        ALL,
        ("600 of 600 rows break 'BALANCE can be read' (first: row 1)",),
    ),
}


@pytest.mark.parametrize("case", WRONG_TABLES)
def test_a_table_that_breaks_a_rule_as_a_whole_is_refused(
    case: str, month_of_600: pd.DataFrame, tmp_path: Path
) -> None:
    write, refused_rows, says = WRONG_TABLES[case]
    path = tmp_path / "customers"
    path.write_bytes(write(month_of_600))
    result = invoke("check", path, "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    said = one_object(result)
    assert (said["verdict"], said["refused_rows"]) == ("refuse", refused_rows)
    for words in ("raw: ", *says):
        assert words in said["error"]
    assert re.search("(Fix|Send|Correct) the ", said["error"])
    assert not re.search("gold|silver|77.125|C00[0-9]{3}", result.output)


def test_more_rows_than_the_contract_allows_are_refused(
    csv_of: Callable[..., Path], month_of_600: pd.DataFrame, tmp_path: Path
) -> None:
    contract = tmp_path / "few.yaml"
    shipped = (CONTRACTS / "ccdata.yaml").read_text()
    contract.write_text(shipped.replace("high: 50000000}", "high: 500}"))
    result = invoke("check", csv_of(month_of_600), "--contract", contract)
    assert result.exit_code == 1
    assert "there are between 100 and 500 rows (found: 600)" in result.stdout
    assert "change rows in the contract" in result.stdout


# --- the run folder ----------------------------------------------------------------------------

PLANTED: Mapping[int, tuple[str, object, str]] = {  # by line of the file
    2: ("BALANCE", "-31337.4242", "BALANCE.between"),
    3: ("PURCHASES", "seventeen thousand", "PURCHASES.readable, PURCHASES.not_null"),
    4: ("CUST_ID", "K-31337", "CUST_ID.matches"),
    5: ("PAYMENTS", "inf", "PAYMENTS.between"),
    6: ("CASH_ADVANCE_TRX", "0", "cash_advance_together"),
    7: ("CREDIT_LIMIT", "NULL", "CREDIT_LIMIT.readable"),
}
SECRETS = ("31337", "seventeen")


class RunOf(NamedTuple):
    """A run of a month with planted defects."""

    table: pd.DataFrame
    result: Any
    folder: Path

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.folder / "manifest.json").read_text())


def run_of(table: pd.DataFrame, folder: Path) -> RunOf:
    path = folder / "customers.csv"
    table.to_csv(path, index=False)
    result = invoke(
        "run",
        "--source",
        path,
        "--segments",
        4,
        "--embedding",
        "none",
        "--limit",
        "resamples=10",
        "--runs",
        folder / "runs",
    )
    (made,) = (path.parent for path in (folder / "runs").glob("*/manifest.json"))
    return RunOf(table, result, made)


@pytest.fixture(scope="module")
def with_few(
    prefect_server: None, month_of_600: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> RunOf:
    """A run with six different defects, and a column too many."""
    table = month_of_600.reset_index(drop=True).astype(object).assign(SHOE_SIZE=41)
    assert draws_cash(table)[4]
    for line, (column, cell, _) in PLANTED.items():
        table.loc[line - 2, column] = cell
    return run_of(table, tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="module")
def with_many(
    prefect_server: None, month_of_600: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> RunOf:
    """A run with a row too many of one defect."""
    broken = Broken("BALANCE", always("-31337.4242"), (), "")
    return run_of(plant(month_of_600, broken, ABOVE)[0], tmp_path_factory.mktemp("many"))


def test_a_run_with_a_few_broken_rows_completes_without_them(with_few: RunOf) -> None:
    assert with_few.result.exit_code == 0, with_few.result.output
    runs, run_id = with_few.folder.parent, with_few.folder.name
    said = one_object(invoke("show", run_id, "--runs", runs, "--json"))
    assert said["rows"] == {"source": 600, "kept": 594, "quarantined": 6, "objected": 0}
    assert (said["status"], said["error"]) == ("published", None)
    quarantine = pd.read_parquet(with_few.folder / "quarantine.parquet")
    assert dict(zip(quarantine["_row"], quarantine["_reasons"], strict=True)) == {
        line: rules for line, (_, _, rules) in PLANTED.items()
    }
    segments = pd.read_parquet(with_few.folder / "segments.parquet")
    assert segments["CUST_ID"].tolist() == with_few.table["CUST_ID"].tolist()[6:]
    assert json.loads(quarantine["_unreadable"][1]) == {"PURCHASES": "seventeen thousand"}


def test_a_run_shows_what_it_set_aside_and_where_it_is(with_few: RunOf) -> None:
    shown = with_few.result.stdout
    for words in (
        "600 rows read: 594 kept, 6 set aside, 0 objected",
        f"set aside, with reasons: {with_few.folder}/quarantine.parquet",
        "BALANCE lies in 0 to 1e+09: 1 of 600 rows do not and are set aside",
        "columns that the contract does not know are left out: SHOE_SIZE",
    ):
        assert words in shown
    report = (with_few.folder / "report.html").read_text()
    assert "BALANCE lies in 0 to 1e+09" in report


def test_a_customer_who_was_set_aside_can_be_shown(with_few: RunOf) -> None:
    customer = with_few.table["CUST_ID"][3]
    words = ("show", with_few.folder.name, "--customer", customer, "--runs", with_few.folder.parent)
    said = one_object(invoke(*words, "--json"))
    assert (said["where"], said["PAYMENTS"]) == ("set aside", "inf")
    assert (said["_row"], said["_reasons"]) == (5, "PAYMENTS.between")
    assert "_reasons: PAYMENTS.between" in invoke(*words).stdout


def test_a_refused_run_keeps_the_rows_and_the_report_and_nothing_else(with_many: RunOf) -> None:
    result, folder = with_many.result, with_many.folder
    assert result.exit_code == 1
    quarantine = folder / "quarantine.parquet"
    for words in (
        "refused: raw: 7 of 600 rows break a rule, but at most 1.00% of the rows are set aside",
        "7 of 600 rows break 'BALANCE lies in 0 to 1e+09' (first: row 2)",
        "Fix the extract, or raise the limit max_quarantine_share.",
        str(quarantine),
        "Nothing was published",
    ):
        assert words in result.stdout
    assert pd.read_parquet(quarantine)["_row"].tolist() == list(range(2, 9))
    assert with_many.manifest["status"] == "refused"
    assert with_many.manifest["error"] in result.stdout
    assert files_of(folder) == {"manifest.json", "quarantine.parquet", "report.html"}
    assert with_many.manifest["error"].split("'")[0] in (folder / "report.html").read_text()


@pytest.mark.parametrize("which", ["with_few", "with_many"])
def test_no_customer_and_no_cell_leaves_the_tables(
    which: str, request: pytest.FixtureRequest
) -> None:
    run: RunOf = request.getfixturevalue(which)
    told = {
        "output": run.result.output,
        "manifest": (run.folder / "manifest.json").read_text(),
        "report": (run.folder / "report.html").read_text(),
        **told_by_prefect(run),
    }
    assert {"state", "task read", "artifact segment-summary"} <= set(told)
    ids = set(run.table["CUST_ID"])
    for where, text in told.items():
        text = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text)
        assert not [secret for secret in SECRETS if secret in text], where
        assert not set(re.findall("C[0-9]{5}", text)) & ids, where
        assert "Traceback" not in text


def told_by_prefect(run: RunOf) -> dict[str, str]:
    """The state's message and every artifact of the flow run and of its task runs."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        FlowRunFilter,
        FlowRunFilterId,
    )

    flow_run = run.manifest["flow_run_id"]
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(flow_run).state
        tasks = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
        )
        artifacts = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]))
        )
    assert state is not None
    assert run.manifest["error"] in (None, state.message)
    states = {f"task {one.name.rsplit('-', 1)[0]}": str(one.state) for one in tasks}
    pages = {f"artifact {one.key}": str(one.data) for one in artifacts if one.type != "progress"}
    return {"state": str(state.message), **states, **pages}
