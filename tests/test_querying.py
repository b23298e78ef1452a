"""A database as a source: the same customers as from a file, only read, and no secret told."""

import logging
import sqlite3
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import adbc_driver_postgresql.dbapi as postgresql_driver
import adbc_driver_sqlite.dbapi as sqlite_driver
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from expectations.contract import Contract, parse_contract
from expectations.errors import InputError, OutsideError, ResegmentError
from tasks.ingestion import Fetched, SourceOptions, fetched_table, read_customers
from tasks.query_text import fill_month
from tasks.querying import fetch_query
from tests.databases import on_server, postgresql_at, server_folder

MONTH = pd.Period("2026-03", "M")
PASSWORD = "geheim-7"
OF_THE_MONTH = 'SELECT * FROM customers WHERE month = :month ORDER BY "CUST_ID"'
SHOP = parse_contract(
    b"""
name: shop
id: {column: client}
columns:
  spend: {kind: money}
  visits: {kind: count}
  tier: {kind: category}
  member: {kind: flag}
""",
    "shop",
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server that lets its own user in, and asks all others for a password."""
    with server_folder() as folder, postgresql_at(folder) as given:
        url = given.replace(":@", "@")
        asked = "local all postgres trust\nlocal all all scram-sha-256\n"
        (folder / "pg_hba.conf").write_text(asked)
        on_server(url, "SELECT pg_reload_conf()")
        on_server(url, f"CREATE ROLE bob LOGIN PASSWORD '{PASSWORD}'")
        on_server(url, "CREATE TABLE ours (client text, spend numeric(12, 2))")
        on_server(url, "INSERT INTO ours VALUES ('C10001', 12.50)")
        on_server(url, "CREATE TABLE theirs (client text)")
        on_server(url, "GRANT SELECT ON ours TO bob")
        yield url


@pytest.fixture(scope="module")
def by_bob(server: str) -> str:
    return server.replace("postgres@", "bob@")


@pytest.fixture
def shop(tmp_path: Path) -> str:
    """An SQLite file with two customers; its URL."""
    with closing(sqlite3.connect(tmp_path / "a shop.db")) as connection:
        connection.execute("CREATE TABLE ours (client TEXT, spend REAL, visits, tier)")
        connection.execute("INSERT INTO ours VALUES ('007', 1.5, 2, 'gold'), ('008', 2, 1, null)")
        connection.commit()
    return f"sqlite:///{tmp_path / 'a shop.db'}"


def rows_of(fetched: Fetched) -> pd.DataFrame:
    return pd.read_parquet(pa.BufferReader(fetched.content))


def refusal(uri: str, query: str, kind: type[ResegmentError] = InputError, **more: object) -> str:
    with pytest.raises(kind) as raised:
        fetch_query(uri, query, MONTH, **more)  # type: ignore[arg-type]
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))
    return str(raised.value)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_month_from_a_database_is_the_month_from_a_file(
    engine: str,
    server: str,
    month_of_600: pd.DataFrame,
    ccdata: Contract,
    tmp_path: Path,
) -> None:
    both = pd.concat([month_of_600.assign(month=month) for month in ("2026-02", "2026-03")])
    url = server if engine == "postgresql" else f"sqlite:///{tmp_path / 'shop.db'}"
    driver = postgresql_driver if engine == "postgresql" else sqlite_driver
    with (
        driver.connect(url.removeprefix("sqlite:///"), autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.adbc_ingest("customers", pa.Table.from_pandas(both, preserve_index=False))
    fetched = fetch_query(url, OF_THE_MONTH, MONTH)
    options = SourceOptions(uri=url, query=OF_THE_MONTH)
    found = read_customers(fetched, ccdata, options)
    expected = read_customers(
        fetched_table(month_of_600.sort_values("CUST_ID"), "x"), ccdata, options
    )
    pd.testing.assert_frame_equal(found.table, expected.table)
    assert found.log["left_out"] == ["month"]
    assert fetch_query(url, OF_THE_MONTH, MONTH).sha256 == fetched.sha256


def test_the_month_is_filled_in_where_it_is_asked_for_and_nowhere_else() -> None:
    for query, filled in {
        "select :month": "select '2026-03'",
        "select a::date, (:month || '-01')::date": "select a::date, ('2026-03' || '-01')::date",
        "select ':month', \"a:month\", ' :x' from t;": "select ':month', \"a:month\", ' :x' from t",
        "select 'it''s :x; :y' -- :z; \n, :month": "select 'it''s :x; :y' -- :z; \n, '2026-03'",
        "select /* :x ; */ $$ :x ; $$, $a$ $$ :y $a$": (
            "select /* :x ; */ $$ :x ; $$, $a$ $$ :y $a$"
        ),
        r"select e'it\' :x', a[1:2], :month": r"select e'it\' :x', a[1:2], '2026-03'",
        "-- all\n(with a as (select 1) select 2)": "-- all\n(with a as (select 1) select 2)",
        "select to_char(now(), 'HH24:MI'), b % 2 like '%a'": (
            "select to_char(now(), 'HH24:MI'), b % 2 like '%a'"
        ),
    }.items():
        assert fill_month(query, MONTH) == filled


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("select :months", "only :month can be filled in, and there is :months"),
        ("select a from t where b = :id and m = :month", "there is :id"),
        ("select 1; drop table ours", "one statement"),
        ("delete from ours", "one SELECT"),
        ("copy ours to program 'ls'", "one SELECT"),
        ("pragma user_version", "one SELECT"),
        ("", "one SELECT"),
    ],
)
def test_a_query_that_asks_for_more_than_reading_a_month_is_refused(query: str, told: str) -> None:
    with pytest.raises(InputError, match="--query") as raised:
        fill_month(query, MONTH)
    assert told in str(raised.value)


def test_the_types_of_postgresql_are_read(server: str) -> None:
    fetched = fetch_query(
        server,
        """SELECT gen_random_uuid() AS client, 1234.50::numeric AS spend, 3::smallint AS visits,
        '{"a": 1}'::json AS tier, true AS member, now() AS loaded, 'x'::char(3) AS padded
        UNION ALL SELECT gen_random_uuid(), null, 4, null, false, null, null""",
        MONTH,
    )
    table = read_customers(fetched, SHOP, SourceOptions()).table
    assert table["client"].str.fullmatch("[0-9a-f-]{36}").all()
    assert table["spend"].tolist()[0] == 1234.5 and pd.isna(table["spend"][1])
    assert table["visits"].tolist() == [3, 4]
    assert table["tier"].tolist()[0] == '{"a": 1}'
    assert table["member"].tolist() == [True, False]
    assert table["_unreadable"].isna().all()


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("5.50::money AS spend", "spend is of the type money, .* spend::numeric"),
        ("'10.0.0.1'::inet AS host", "host is of the type inet, .* host::text"),
        ("interval '1 day' AS age", "age is of the type interval, .* age::text"),
        ("1 AS a, 2 AS a", "gives a twice"),
    ],
)
def test_a_type_that_would_arrive_as_something_else_is_refused(
    server: str, column: str, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        fetch_query(server, f"SELECT {column}", MONTH)


def test_columns_of_sqlite_that_change_their_type_halfway_keep_every_value(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute('CREATE TABLE t (client, spend NUMERIC, visits, "ti""er" TEXT, gap)')
        rows = [(n, n, n, None, None) for n in range(70_000)]
        rows += [("007", 0.1 + 0.2, None, "gold", 1.5), ("0x", 7, 1, "new", None)]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
        connection.commit()
    url = f"sqlite:///{tmp_path / 'x.db'}"
    found = rows_of(fetch_query(url, "SELECT * FROM t -- all of it", MONTH))
    assert found["client"].tolist() == [str(row[0]) for row in rows]
    assert found["spend"].tolist() == [row[1] for row in rows]
    assert found['ti"er'].tolist()[-2:] == ["gold", "new"] and found["gap"].tolist()[-2] == 1.5
    assert found["visits"].isna().sum() == 1


def test_the_password_comes_from_the_environment_or_by_argument(
    by_bob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    query = "SELECT * FROM ours"
    assert "wants a password" in refusal(by_bob, query)
    assert len(rows_of(fetch_query(by_bob, query, MONTH, PASSWORD))) == 1
    told = refusal(by_bob, query, password="falsch-9")
    assert "refuses the user or the password" in told and "falsch" not in told
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    fetched = fetch_query(by_bob, query, MONTH)
    assert fetched.name == "postgresql:///postgres"


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    for url in (
        f"postgresql://bob:{PASSWORD}@host/x",
        f"postgresql://bob@host/x?password={PASSWORD}",
        f"postgresql://bob@host/x?sslmode=require&sslpassword={PASSWORD}",
    ):
        assert PASSWORD not in refusal(url, "SELECT 1")
        with pytest.raises(ValidationError, match="a password in a URL"):
            SourceOptions(uri=url, query="SELECT 1")


# What is wrong, whose fault it is, and what the message says.
QUERIES = [
    (
        "SELECT * FORM ours",
        InputError,
        'the query is wrong: syntax error at or near "FORM" (line 1)',
    ),
    ("SELECT 1,\nnothere FROM ours", InputError, 'column "nothere" does not exist (line 2)'),
    ("SELECT * FROM nothere", InputError, 'relation "nothere" does not exist'),
    ("SELECT * FROM theirs", InputError, "Grant SELECT"),
    ("SELECT client::int FROM ours", InputError, "does not suit a conversion"),
    ("SELECT 1 / (spend - 12.5) FROM ours", InputError, "does not suit a conversion"),
    ("WITH a AS (DELETE FROM ours RETURNING 1) SELECT * FROM a", InputError, "only read"),
    ("SELECT * FROM ours WHERE client = :month", InputError, "no rows for 2026-03"),
    ("SELECT pg_sleep(9)::text", OutsideError, "takes too long"),
    ("SELECT pg_terminate_backend(pg_backend_pid())", OutsideError, "went away"),
]


@pytest.mark.parametrize(("query", "kind", "told"), QUERIES)
def test_a_query_that_fails_is_told_without_a_value_or_a_connection(
    by_bob: str, server: str, query: str, kind: type[ResegmentError], told: str
) -> None:
    uri = server if "DELETE" in query else by_bob
    message = refusal(uri, query, kind, password=PASSWORD, timeout=1)
    assert message.startswith("source postgresql:///postgres: ") and told in message
    assert not [word for word in (PASSWORD, "bob", "C10001", "host=") if word in message]
    assert len(rows_of(fetch_query(server, "SELECT * FROM ours", MONTH))) == 1


@pytest.mark.parametrize(
    ("uri", "kind", "told"),
    [
        ("postgresql://bob@127.0.0.1:1/x", OutsideError, "cannot be reached"),
        ("postgresql://bob@nowhere.invalid/x", OutsideError, "cannot be reached"),
        ("postgresql://bob@h/x?colour=red", InputError, "the URL cannot be read"),
        ("postgresql://bob@h:port/x", InputError, "no database that can be read"),
        ("mysql://bob@h/x", InputError, "no database that can be read"),
        ("sqlite:////no/such.db", InputError, "no such file"),
        ("sqlite://", InputError, "no such file"),
    ],
)
def test_a_database_that_is_not_there_is_told_without_the_password(
    uri: str, kind: type[ResegmentError], told: str
) -> None:
    message = refusal(uri, "SELECT 1", kind, password=PASSWORD)
    assert told in message and PASSWORD not in message


def test_a_wrong_database_is_an_error_of_the_call(server: str) -> None:
    told = refusal(server.replace("/postgres?", "/nothere?"), "SELECT 1")
    assert "no such database" in told


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT * FORM ours", 'the query is wrong: near "FORM": syntax error'),
        ("SELECT nothere FROM ours", "no such column: nothere"),
        ("SELECT client, client FROM ours", "gives client twice"),
        ("WITH a AS (SELECT 1) DELETE FROM ours", "the query is wrong"),
        ("SELECT * FROM ours WHERE client = :month", "no rows"),
    ],
)
def test_sqlite_is_only_read_and_its_errors_are_told(shop: str, query: str, told: str) -> None:
    assert told in refusal(shop, query)
    assert len(rows_of(fetch_query(shop, "SELECT * FROM ours", MONTH))) == 2


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("client,spend\n")
    assert "no SQLite database" in refusal(f"sqlite:///{tmp_path / 'x.db'}", "SELECT 1")


def test_a_lock_that_somebody_holds_is_waited_for_by_the_operator(shop: str) -> None:
    holds = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE'); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holds, shop.removeprefix("sqlite:///")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as holder:  # fmt: skip
        assert holder.stdout and holder.stdout.readline()
        assert "lock" in refusal(shop, "SELECT * FROM ours", OutsideError, timeout=0)
        holder.communicate()
    assert len(rows_of(fetch_query(shop, "SELECT * FROM ours", MONTH))) == 2


def test_a_full_or_missing_folder_of_temporary_files_is_outside(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert "TMPDIR" in refusal(shop, "SELECT * FROM ours", OutsideError)


def test_no_log_line_holds_a_password_or_a_cell(
    by_bob: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        fetch_query(by_bob, "SELECT * FROM ours", MONTH, PASSWORD)
        refusal(by_bob, "SELECT client::int FROM ours", password=PASSWORD)
    assert "query: 1 rows" in caplog.text
    assert PASSWORD not in caplog.text and "C10001" not in caplog.text


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"uri": "postgresql://h/x"}, "a database needs a query"),
        ({"uri": "sqlite:////x.db", "query": " "}, "a database needs a query"),
        ({"uri": "customers.csv", "query": "SELECT 1"}, "a query needs a database"),
        ({"query": "SELECT 1"}, "a query needs a database"),
        ({"uri": "customers.csv", "secret": "shop"}, "for a database with a query"),
    ],
)
def test_a_query_and_a_database_belong_together(given: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SourceOptions(**given)  # type: ignore[arg-type]


def test_a_url_of_another_driver_or_spelling_is_the_same_database(server: str) -> None:
    parsed = sa.make_url(server)
    for driver in ("postgresql+psycopg", "postgresql"):
        url = parsed.set(drivername=driver).render_as_string()
        assert len(rows_of(fetch_query(url, "SELECT * FROM ours", MONTH))) == 1
    url = server.replace("postgresql:", "postgres:")
    assert SourceOptions(uri=url, query="SELECT 1").uri == url
    assert len(rows_of(fetch_query(url, "SELECT * FROM ours", MONTH))) == 1
