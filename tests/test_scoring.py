"""Scoring: the published segments for any table, whatever its size, and nothing but a file."""

import gzip
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.preprocessing import FunctionTransformer

from expectations.contract import Contract, parse_contract
from expectations.errors import GateError, InputError, OutsideError
from expectations.rules import row_rules
from tasks import blocks, delimited, erasing, ingestion
from tasks.blocks import in_blocks, pieces
from tasks.delimited import Delimited
from tasks.dialects import Header
from tasks.ingestion import SourceOptions, fetch, fetched_table, read_customers
from tasks.model import SegmentModel
from tasks.modelfile import pack
from tasks.publishing import publish
from tasks.scaling import build_scaler
from tasks.scoring import Scorer, hash_ids, score_source
from tasks.store import open_store
from tasks.typicality import Typicality
from tests.publications import AT, publication_of

IDS = ("S01", "S02")
NAMES = {"S01": "Busy", "S02": "Quiet"}
COLUMNS = ["segment", "name", "confidence", "runner_up", "typical"]
OPTIONS = SourceOptions()
OPEN = parse_contract(
    b"""
name: open
id: {column: CLIENT, pattern: "K[0-9]+"}
columns:
  SPEND: {kind: money, max_null_share: 0.5}
  VISITS: {kind: count}
  NOTE: {kind: text, max_null_share: 1}
  OPT_OUT: {kind: flag, use: objection}
""",
    "open",
)


def model_for(customers: pd.DataFrame, contract: Contract) -> SegmentModel:
    """Two segments on up to eight of the contract's columns; a judge of few points, to be quick."""
    scaler = build_scaler(list(contract.features)[:8], contract).fit(customers)
    X = scaler.transform(customers)
    kmeans = KMeans(2, n_init=3, random_state=0).fit(X)
    embedder = FunctionTransformer(feature_names_out="one-to-one").fit(X)
    curve = pd.DataFrame({"gap": [0.0, 1.0, 4.0], "confidence": [0.5, 0.8, 1.0]})
    assembled = SegmentModel([*scaler.steps, ("embed", embedder), ("kmeans", kmeans)])
    return assembled.with_judgement(curve, Typicality(points=50).fit(X))


@pytest.fixture(scope="module")
def scorer(month_of_600: pd.DataFrame, ccdata: Contract) -> Scorer:
    return Scorer(ccdata, model_for(month_of_600, ccdata), IDS, NAMES)


@pytest.fixture(scope="module")
def shoppers() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "CLIENT": [f"K{n}" for n in range(400)],
            "SPEND": rng.gamma(2, 100, 400).round(2),
            "VISITS": rng.poisson(3, 400),
            "NOTE": "plain",
            "OPT_OUT": "no",
        }
    )


@pytest.fixture(scope="module")
def of_shoppers(shoppers: pd.DataFrame) -> Scorer:
    return Scorer(OPEN, model_for(shoppers, OPEN), IDS, NAMES)


def scored(
    source: Path | pd.DataFrame, scorer: Scorer, output: Path, options: SourceOptions = OPTIONS
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """What is told, the scored customers, and the rows set aside."""
    fetched = fetched_table(source, "x") if isinstance(source, pd.DataFrame) else fetch(str(source))
    told = score_source(fetched, scorer, options, output)
    read = pd.read_parquet if output.suffix == ".parquet" else read_csv
    aside = pd.read_parquet(told["quarantine"]) if told["quarantine"] else pd.DataFrame()
    rows = told["rows"]
    assert rows["source"] == rows["scored"] + rows["quarantined"] + rows["objected"]
    table = read(output)
    assert (len(table), len(aside)) == (rows["scored"], rows["quarantined"])
    assert sum(one["size"] for one in told["segments"]) == rows["scored"]
    return told, table, aside


def read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, float_precision="round_trip")


# ------------------------------------------------------------------------------ what is written
def test_it_is_the_models_answer_for_each_customer_in_the_source_s_order(
    scorer: Scorer, month_of_600: pd.DataFrame, tmp_path: Path
) -> None:
    told, table, _ = scored(month_of_600, scorer, tmp_path / "x.parquet")
    assert list(table) == ["CUST_ID", *COLUMNS]
    assert table["CUST_ID"].tolist() == month_of_600["CUST_ID"].tolist()
    assigned = scorer.model.assign(month_of_600)
    assert table["segment"].tolist() == [IDS[place] for place in assigned.segment]
    assert table["runner_up"].tolist() == [IDS[place] for place in assigned.runner_up]
    assert table["name"].tolist() == [NAMES[IDS[place]] for place in assigned.segment]
    np.testing.assert_array_equal(table["confidence"], assigned.confidence)
    np.testing.assert_array_equal(table["typical"], scorer.model.is_typical(month_of_600))
    assert told["untypical"] == (~table["typical"]).sum() > 0
    assert told["segments"][0]["size"] == (table["segment"] == "S01").sum()
    assert month_of_600["MINIMUM_PAYMENTS"].isna().any()  # gaps are filled by the model itself
    pd.testing.assert_frame_equal(scored(month_of_600, scorer, tmp_path / "x.csv")[1], table)


def test_a_customer_alone_gets_the_segment_of_the_batch(
    scorer: Scorer, month_of_600: pd.DataFrame, tmp_path: Path
) -> None:
    _, together, _ = scored(month_of_600, scorer, tmp_path / "all.parquet")
    for row in range(0, 600, 50):
        _, alone, _ = scored(month_of_600.iloc[[row]], scorer, tmp_path / "one.parquet")
        expected = together.iloc[[row]].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, expected, atol=1e-6, rtol=0)


def test_a_segment_without_a_name_is_called_by_its_id(
    scorer: Scorer, month_of_600: pd.DataFrame, tmp_path: Path
) -> None:
    unnamed = scorer._replace(names={"S01": "Busy"})
    _, table, _ = scored(month_of_600, unnamed, tmp_path / "x.parquet")
    assert set(table["name"]) == {"Busy", "S02"}


# --------------------------------------------------------------- who is set aside, and who left
def spoiled(month: pd.DataFrame) -> pd.DataFrame:
    """A month as text with all that can be wrong with a row, far apart from each other."""
    rows = month.astype(object).astype(str).replace("nan", "")
    rows.loc[3, "BALANCE"] = "much"
    rows.loc[70, "BALANCE_FREQUENCY"] = "7"
    rows.loc[150, "CUST_ID"] = "unknown"
    rows.loc[151, "CUST_ID"] = ""
    rows.loc[590, "CUST_ID"] = rows.loc[9, "CUST_ID"]
    rows.loc[333, ["TENURE", "BALANCE"]] = ["6.5", ""]
    return rows


@pytest.mark.parametrize("size", [1000, 10_000, 1 << 23])
def test_rows_that_break_a_rule_are_set_aside_as_the_gate_sets_them_aside(
    size: int,
    scorer: Scorer,
    month_of_600: pd.DataFrame,
    csv_of: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
    path = csv_of(spoiled(month_of_600.head(600)))
    told, table, aside = scored(path, scorer, tmp_path / "x.parquet")
    raw = read_customers(fetch(str(path)), scorer.contract, OPTIONS).table
    rules = [rule for rule in row_rules(scorer.contract) if rule.severity == "set_aside"]
    broken = pd.DataFrame({rule.id: rule.broken(raw) for rule in rules})
    expected = raw[broken.any(axis=1)]
    reasons = broken[broken.any(axis=1)].apply(lambda row: ", ".join(row.index[row]), axis=1)
    assert len(expected) == 7
    pd.testing.assert_frame_equal(
        aside, expected.assign(_reasons=reasons.astype("str")).reset_index(drop=True)
    )
    assert told["reasons"] == {name: n for name, n in broken.sum().items() if n}
    assert aside["_row"].tolist() == [5, 11, 72, 152, 153, 335, 592]
    assert table["CUST_ID"].tolist() == raw["CUST_ID"][~broken.any(axis=1)].tolist()


@pytest.mark.parametrize("rows", [1, 7, 1 << 16])
def test_doubled_and_objecting_ids_are_known_wherever_they_stand(
    rows: int,
    of_shoppers: Scorer,
    shoppers: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", rows)
    source = shoppers.head(60).copy()
    source.loc[59, "CLIENT"] = "K0"  # doubled, in the first and the last block
    source.loc[58, ["CLIENT", "OPT_OUT"]] = ["K1", "yes"]  # so both rows of K1 leave
    source.loc[30, "OPT_OUT"] = None  # a gap objects, too
    source.loc[31, ["CLIENT", "OPT_OUT"]] = [None, "yes"]
    source.loc[[40, 41], "CLIENT"] = ["K40", "K40"]
    forgetful = of_shoppers._replace(is_forgotten=lambda ids: np.isin(ids, ["K40", "K7"]))
    told, table, aside = scored(source, forgetful, tmp_path / "x.parquet")
    assert told["rows"] == {"source": 60, "scored": 51, "quarantined": 2, "objected": 7}
    assert aside["CLIENT"].tolist() == ["K0", "K0"] and aside["_row"].tolist() == [1, 60]
    assert aside["_reasons"].tolist() == ["CLIENT.unique"] * 2
    left = {"K1", "K7", "K30", "K40", "K41"}
    assert not left & {*table["CLIENT"], *aside["CLIENT"]}
    assert "OPT_OUT" not in aside


def test_ids_are_told_apart_by_eight_bytes() -> None:
    ids = pa.chunked_array([[f"K{n}" for n in range(100_000)] + [None]])
    hashes, is_id = hash_ids(ids)
    assert hashes.dtype == np.uint64 and is_id.sum() == 100_000
    assert len(np.unique(hashes[is_id])) == 100_000
    again, _ = hash_ids(pa.chunked_array([["K99999"]]))
    assert again[0] == hashes[99_999]


# ------------------------------------------------------------------------------------- in blocks
CELL = st.text(st.sampled_from('ab,"\n\r x'), max_size=6)


def as_csv(rows: list[list[str]], end: str, quote: list[bool]) -> str:
    must = ',"\r\n'
    quoted = iter(quote * 100)

    def cell(text: str) -> str:
        asked = next(quoted) or any(mark in text for mark in must)
        return '"' + text.replace('"', '""') + '"' if asked else text

    return "".join(",".join(map(cell, row)) + end for row in rows)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=10),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quote=st.lists(st.booleans(), min_size=1, max_size=7),
    size=st.sampled_from([1, 5, 20, 60]),
)
def test_pieces_are_whole_records_and_know_their_line(
    rows: list[list[str]], end: str, quote: list[bool], size: int
) -> None:
    import csv
    import io

    text = as_csv(rows, end, quote)
    source = Delimited(text.encode(), Header(",", ("a", "b", "c"), 0, 2), {}, (), "x")
    expected = csv.reader(io.StringIO(text, newline=""))
    lines, whole = [2], []
    for row in expected:
        whole.append(row)
        lines.append(2 + expected.line_num)
    found: list[list[str]] = []
    for piece, line, _ in pieces(source, size):
        assert line == lines[len(found)]
        found += csv.reader(io.StringIO(piece.decode(), newline=""))
    assert [row for row in found if row] == [row for row in whole if row]


@pytest.mark.parametrize("size", [100, 5000, 1 << 23])
def test_a_text_file_in_pieces_is_read_as_it_is_read_whole(
    size: int, shoppers: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
    source = shoppers.astype(str)
    source["NOTE"] = ["two\nlines", 'a "quoted", word', ";", ""] * 100
    source["SPEND"] = source["SPEND"].str.replace(".", ",")
    source.loc[5, "SPEND"] = "?"
    text = source.to_csv(index=False, sep=";", lineterminator="\r\n") + "\r\nK9;1,5;1\r\n\r\n\x1a"
    packed = tmp_path / "x.csv.gz"
    packed.write_bytes(gzip.compress(text.replace("plain", "schön").encode("utf-16")))
    options = SourceOptions()
    whole = read_customers(fetch(str(packed)), OPEN, options).table
    opened = in_blocks(fetch(str(packed)), OPEN, options)
    columns = (OPEN.id.column, *OPEN.kept, *OPEN.objections)
    frames = [
        ingestion.to_frame(block.cells, OPEN, opened.decimal) for block in opened.read(columns)
    ]
    assert (len(frames) > 1) == (size < 1 << 23)
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), whole)
    assert opened.decimal == "," and len(whole) == 401


def test_the_decimal_mark_is_that_of_the_first_number_with_a_fraction(
    shoppers: pd.DataFrame, csv_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "HEAD", 2000)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 3000)
    source = shoppers.assign(SPEND="12")
    path = csv_of(source.astype(str), sep=";")
    assert in_blocks(fetch(str(path)), OPEN, OPTIONS).decimal == "."
    source.loc[399, "SPEND"] = "12,5"
    assert in_blocks(fetch(str(csv_of(source, sep=";"))), OPEN, OPTIONS).decimal == ","
    source.loc[398, "SPEND"] = "12.5"
    with pytest.raises(InputError, match="some numbers have a decimal comma and others"):
        in_blocks(fetch(str(csv_of(source, sep=";"))), OPEN, OPTIONS)
    source.loc[[398, 399], "SPEND"] = "1.234"
    with pytest.raises(InputError, match="may be thousands"):
        in_blocks(fetch(str(csv_of(source, sep=";"))), OPEN, OPTIONS)


# ------------------------------------------------------------------------------ what is refused
@pytest.fixture
def kept_output(tmp_path: Path) -> Iterator[Path]:
    """An output of an earlier time, which stays as it is whatever fails."""
    output = tmp_path / "out" / "x.parquet"
    output.parent.mkdir()
    output.write_bytes(b"earlier")
    yield output
    assert output.read_bytes() == b"earlier"
    assert {one.name for one in output.parent.iterdir()} <= {output.name, "x.quarantine.parquet"}


def test_where_every_row_is_set_aside_there_is_no_output_but_the_reasons(
    of_shoppers: Scorer, shoppers: pd.DataFrame, kept_output: Path
) -> None:
    with pytest.raises(GateError, match=r"all 400 rows break a rule.*x\.quarantine\.parquet"):
        scored(shoppers.assign(VISITS=-1), of_shoppers, kept_output)
    aside = pd.read_parquet(kept_output.with_name("x.quarantine.parquet"))
    assert set(aside["_reasons"]) == {"VISITS.between"}


def test_where_nobody_is_left_it_is_told(
    of_shoppers: Scorer, shoppers: pd.DataFrame, kept_output: Path
) -> None:
    with pytest.raises(InputError, match="all 400 rows count as objecting by OPT_OUT"):
        scored(shoppers.assign(OPT_OUT="yes"), of_shoppers, kept_output)
    with pytest.raises(InputError, match="no customers"):
        scored(shoppers.head(0), of_shoppers, kept_output)


def test_a_source_that_breaks_off_leaves_nothing_behind(
    of_shoppers: Scorer,
    shoppers: pd.DataFrame,
    kept_output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 100)
    path = tmp_path / "x.parquet"
    shoppers.to_parquet(path, row_group_size=100, compression="gzip", index=False)
    content = bytearray(path.read_bytes())
    columns = pq.ParquetFile(path).metadata.row_group(3).column(1)
    start = columns.dictionary_page_offset or columns.data_page_offset
    content[start : start + columns.total_compressed_size] = bytes(columns.total_compressed_size)
    path.write_bytes(content)
    with pytest.raises(InputError, match="cut off or damaged"):
        scored(path, of_shoppers, kept_output)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_full_disk_is_told_and_leaves_nothing_behind(
    suffix: str, of_shoppers: Scorer, shoppers: pd.DataFrame, tmp_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutsideError, match=r"cannot write .*File too large\. Free space"):
            scored(shoppers, of_shoppers, tmp_path / f"x{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_is_refused(
    of_shoppers: Scorer, shoppers: pd.DataFrame, csv_of: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"ends in \.parquet or \.csv"):
        scored(shoppers, of_shoppers, tmp_path / "x.xlsx")
    with pytest.raises(OutsideError, match="No such file or directory"):
        scored(shoppers, of_shoppers, tmp_path / "no" / "x.csv")
    source = csv_of(shoppers)
    before = source.read_bytes()
    with pytest.raises(InputError, match="would replace the source"):
        scored(source, of_shoppers, source.parent / "." / source.name)
    assert source.read_bytes() == before


def test_a_quarantine_of_an_earlier_time_does_not_stay(
    of_shoppers: Scorer, shoppers: pd.DataFrame, tmp_path: Path
) -> None:
    spoilt = shoppers.assign(VISITS=shoppers["VISITS"].where(shoppers.index != 7, -1))
    assert scored(spoilt, of_shoppers, tmp_path / "x.csv")[0]["quarantine"]
    assert (tmp_path / "x.quarantine.parquet").exists()
    assert not scored(shoppers, of_shoppers, tmp_path / "x.csv")[0]["quarantine"]
    assert [one.name for one in tmp_path.iterdir()] == ["x.csv"]


# ---------------------------------------------------------------------------------- the command
WIDE = ('pattern: "C[0-9]{5}"', 'pattern: "C[0-9]{5,}"')
CHILD = """
import json, sys
from deployments.cli import main
sys.argv = ["resegment", "score", *sys.argv[1:]]
try:
    main()
finally:
    status = open("/proc/self/status").read()
    peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
    print(json.dumps({"peak": peak, "modules": list(sys.modules)}), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def store(scorer: Scorer, ccdata: Contract, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with one published month, whose model is the scorer's."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'segments.db'}"
    opened = open_store(url, "real")
    model = pack(scorer.model, ccdata, IDS, "none", "2026-01-aaaaaaaa")
    publish(opened, replace(publication_of(opened, "2026-01", "2026-01-aaaaaaaa"), model=model))
    return url


def in_a_child(*words: object) -> tuple[dict[str, Any], int, set[str]]:
    """What the command prints as JSON, its peak in MB, and the packages it imported."""
    called = [sys.executable, "-c", CHILD, *map(str, words), "--json"]
    done = subprocess.run(called, capture_output=True, text=True, check=True)
    left = json.loads(done.stderr.splitlines()[-1])
    return json.loads(done.stdout), left["peak"], {one.split(".")[0] for one in left["modules"]}


def test_a_million_rows_take_no_more_memory_than_a_few_and_no_heavy_library(
    store: str, month_of_600: pd.DataFrame, tmp_path: Path
) -> None:
    contract = Path(ingestion.__file__).parents[1] / "expectations" / "contracts" / "ccdata.yaml"
    (tmp_path / "wide.yaml").write_text(contract.read_text().replace(*WIDE))
    month = pd.concat([month_of_600] * 100, ignore_index=True)
    schema = pa.Table.from_pandas(month, preserve_index=False).schema
    with pq.ParquetWriter(tmp_path / "million.parquet", schema) as writer:
        for first in range(0, 1_020_000, len(month)):
            ids = [f"C{10_000_000 + first + n}" for n in range(len(month))]
            block = month.assign(CUST_ID=ids)
            writer.write_table(pa.Table.from_pandas(block, schema, preserve_index=False))
    block.to_csv(tmp_path / "few.csv", index=False)
    peaks = {}
    for source, rows in (("few.csv", 60_000), ("million.parquet", 1_020_000)):
        told, peaks[rows], packages = in_a_child(
            "--source", tmp_path / source, "--output", tmp_path / "x.parquet",
            "--contract", tmp_path / "wide.yaml", "--store", store,
        )  # fmt: skip
        assert told["rows"]["scored"] == rows
        assert not packages & {"tensorflow", "keras", "great_expectations", "prefect"}
        assert "sklearn" in packages
    assert peaks[1_020_000] < 1000
    assert peaks[1_020_000] - peaks[60_000] < 200


def test_the_command_takes_model_names_and_the_forgotten_from_the_store(
    store: str,
    scorer: Scorer,
    month_of_600: pd.DataFrame,
    resegment: Callable[..., Any],
    csv_of: Callable[..., Path],
    tmp_path: Path,
) -> None:
    gone = month_of_600["CUST_ID"].iloc[[0, 500]].tolist()
    erasing.forget(open_store(store), gone, AT)
    source = csv_of(month_of_600, "2026-03.csv")
    called = ("score", "--source", source.with_name("{month}.csv"), "--month", "2026-03")
    done = resegment(*called, "--output", tmp_path / "x.csv", "--store", store, "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert (told["run_id"], told["month"]) == ("2026-01-aaaaaaaa", "2026-03")
    assert told["rows"] == {"source": 600, "scored": 598, "quarantined": 0, "objected": 2}
    table = read_csv(tmp_path / "x.csv")
    assert set(table["name"]) == {"Group S01", "Group S02"} and not set(gone) & set(
        table["CUST_ID"]
    )
    shown = resegment(*called, "--output", tmp_path / "x.csv", "--store", store)
    assert "598 scored with the model of run 2026-01-aaaaaaaa" in shown.stdout
    assert "Group S01" in shown.stdout and str(tmp_path / "x.csv") in shown.stdout


def test_a_database_is_scored_as_a_file_is(
    store: str, month_of_600: pd.DataFrame, resegment: Callable[..., Any], tmp_path: Path
) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        month_of_600.assign(month="2026-03").to_sql("customers", connection, index=False)
    called = ("score", "--store", store, "--month", "2026-03", "--output", tmp_path / "x.parquet")
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    query = "SELECT * FROM customers WHERE month = :month"
    done = resegment(*called, "--source", url, "--query", query, "--json")
    assert json.loads(done.stdout)["rows"]["source"] == 600, done.output
    none = resegment(*called, "--source", url, "--query", query.replace("=", ">"), "--json")
    assert none.exit_code == 2 and "no rows for 2026-03" in none.stdout
    wrong = resegment(*called, "--source", url, "--json")
    assert wrong.exit_code == 2 and "a database needs a query" in wrong.stdout


def test_where_nothing_is_published_there_is_nothing_to_score_with(
    resegment: Callable[..., Any], month_of_600: pd.DataFrame, csv_of: Callable[..., Path]
) -> None:
    source = csv_of(month_of_600)
    called = ("score", "--source", source, "--output", source.with_name("x.csv"))
    none = resegment(*called)
    assert none.exit_code == 2 and "there is no segment store" in none.stderr
    url = f"sqlite:///{source.with_name('new.db')}"
    open_store(url, "real")
    none = resegment(*called, "--store", url)
    assert none.exit_code == 2 and "nothing is published in the store" in none.stderr
    assert not source.with_name("x.csv").exists()


def test_the_flow_scores_and_shows_counts_only(
    prefect_server: None, store: str, month_of_600: pd.DataFrame, csv_of: Callable[..., Path]
) -> None:
    from prefect.artifacts import Artifact

    from flows.score import score

    source = csv_of(month_of_600)
    output = source.with_name("{month}.parquet")
    told = score(SourceOptions(uri=str(source)), str(output), month="2026-03", store=store)
    assert len(pd.read_parquet(source.with_name("2026-03.parquet"))) == told["rows"]["scored"]
    shown = Artifact.get(key="segment-score")
    assert shown and "2026-01-aaaaaaaa" in str(shown.data)
    assert not [one for one in month_of_600["CUST_ID"] if one in str(shown.data)]


def test_a_password_comes_from_a_prefect_secret_block(prefect_server: None) -> None:
    from prefect.blocks.system import Secret

    from flows.passwords import password_of

    Secret(value="geheim-7").save("shop-reader", overwrite=True)
    assert password_of("shop-reader") == "geheim-7"
    assert password_of("") is None
    with pytest.raises(InputError, match="no Prefect Secret block 'nothere'"):
        password_of("nothere")
