"""What a person decides: publish, keep, go back; in time, too late, and where it cannot be."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from expectations.errors import InputError
from tasks import published
from tasks.tables import decisions
from tests.company import ID, NEVER, NEW_GROUP, Company, customers, in_group

pytest_plugins = ["tests.companies"]
pytestmark = pytest.mark.usefixtures("quick_runs")
LIMITS = ("max_churn=1", "max_size_change=99", "max_refit_churn=1", "ask_psi=99", "ask_untypical=1")
FIVE = ("--refit", "always", "--segments", "5", *(w for one in LIMITS for w in ("--limit", one)))


@pytest.fixture(scope="module")
def asked_in_may(after_april: Company, tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A company whose May waits for a person, with the champion's and a new fit's segments."""
    company = after_april.copied_to(tmp_path_factory.mktemp("may"))
    company.month("2026-05", "--publish", "ask", code=1)
    return company


@pytest.fixture
def waiting(asked_in_may: Company, tmp_path: Path) -> Company:
    """A copy of it."""
    return asked_in_may.copied_to(tmp_path)


def may_of(company: Company) -> str:
    (run_id,) = (path.name for path in company.runs.glob("2026-05-*"))
    return run_id


def decided(company: Company) -> list[tuple[str, str]]:
    with company.store.database.reading() as connection:
        rows = connection.execute(sa.select(decisions).order_by(decisions.c.id))
        return [(row.run_id, row.decision) for row in rows]


# -------------------------------------------------------------------------------- in time
def test_a_run_that_is_to_ask_waits_and_publishes_nothing(waiting: Company) -> None:
    may = may_of(waiting)
    assert waiting.statuses(may) == {"awaiting"}
    assert waiting.current != may
    assert waiting.says("status", "--month", "2026-05", code=1)["status"] is None
    said = waiting.says("show", may)
    assert said["asks"] == ["a person was to be asked"]


@pytest.mark.parametrize("decision", ["champion", "challenger"])
def test_a_decision_publishes_with_the_model_that_was_chosen(
    decision: str, waiting: Company
) -> None:
    april, may = waiting.current, may_of(waiting)
    said = waiting.says("publish", may, "--decision", decision, "--who", "Ada")
    assert (said["status"], said["model"]) == ("published", decision)
    assert waiting.statuses(may) == {"published"}
    assert waiting.current == may
    assert waiting.line_of(may)["model"] == decision
    is_aprils = waiting.line_of(may)["model_sha256"] == waiting.line_of(april)["model_sha256"]
    assert is_aprils == (decision == "champion")
    assert decided(waiting) == [(may, decision)]
    assert [one["who"] for one in waiting.run_of(may).manifest["decisions"]] == ["Ada"]
    segments = pd.read_parquet(waiting.run_of(may).path("segments")).set_index(ID)
    rows = waiting.assigned(may)
    assert (rows["segment_id"] == segments.loc[rows.index, f"{decision}_segment"]).all()
    again = waiting.says("publish", may, "--decision", decision, code=2)
    assert "nothing to decide, it is published" in again["error"]
    resumed = waiting.says("run", "--resume", may)  # nobody is asked a second time
    assert (resumed["model"], resumed["publication"]) == (decision, said["publication"])
    assert waiting.statuses(may) == {"published"}


def test_last_month_can_be_kept_which_settles_the_month(waiting: Company) -> None:
    april, may = waiting.current, may_of(waiting)
    said = waiting.says("publish", may, "--decision", "keep")
    assert said["status"] == "kept"
    assert waiting.statuses(may) == {"kept"}
    assert waiting.current == april
    assert waiting.says("status", "--month", "2026-05")["status"] == "kept"
    assert decided(waiting) == [(may, "keep")]
    assert f"{may} is kept" in waiting.says("run", "--resume", may, code=2)["error"]
    assert waiting.statuses(may) == {"kept"}
    june = waiting.month("2026-06", *NEVER)
    assert june["rests_on"]["previous"] == april
    assert june["rests_on"]["gap"] == 1


# ------------------------------------------------------------------------------- too late
def test_a_decision_after_the_next_month_was_published_can_only_keep(waiting: Company) -> None:
    may = may_of(waiting)
    june = waiting.month("2026-06", *NEVER)["run_id"]
    late = waiting.says("publish", may, "--decision", "challenger", code=1)
    assert f"{june} became current in the meantime" in late["error"]
    assert "Run 2026-05 again" in late["error"]
    assert late["error"].endswith(f"`resegment publish {may} --decision keep`.")
    assert waiting.statuses(may) == {"awaiting"}
    assert waiting.run_of(may).manifest["model"] == "champion"  # as it was proposed
    assert waiting.run_of(may).manifest["decisions"] == []
    assert decided(waiting) == []
    assert waiting.current == june
    assert waiting.says("publish", may, "--decision", "keep")["status"] == "kept"
    assert waiting.statuses(may) == {"kept"}
    again = waiting.month("2026-05", *NEVER)  # run again, it is an older month
    assert waiting.run_of(again["run_id"]).manifest["publication"]["is_current"] is False
    assert waiting.current == june
    assert waiting.says("status", "--month", "2026-06")["rests_on_corrected"] == []


# --------------------------------------------------------------------------- not possible
def test_what_cannot_be_decided_is_refused_in_words(
    waiting: Company,
) -> None:
    unknown = waiting.says("publish", "2026-05-00000000", "--decision", "keep", code=2)
    assert "no run 2026-05-00000000" in unknown["error"]
    refused = waiting.month("2026-06", table=customers("2026-06").assign(spend=-1.0), code=1)
    told = waiting.says("publish", refused["run_id"], "--decision", "champion", code=2)
    assert "a decision is for a run that is complete" in told["error"]
    asked = waiting.month("2026-06", *NEVER, "--publish", "ask", code=1)
    told = waiting.says("publish", asked["run_id"], "--decision", "challenger", code=2)
    assert "no new fit was made this month" in told["error"]


def test_a_first_month_can_be_published_by_its_own_fit_alone(tmp_path: Path) -> None:
    company = Company.founded(tmp_path)
    first = company.month("2026-03", "--publish", "never")["run_id"]
    assert [path.name for path in company.runs.iterdir()] == [first]  # it makes no store
    assert [one["status"] for one in company.says("runs")["runs"]] == ["candidate"]
    told = company.says("publish", first, "--decision", "champion", code=2)
    assert "no published model that could assign" in told["error"]
    told = company.says("publish", first, "--decision", "keep", code=2)
    assert "nothing was published before" in told["error"]
    company.says("publish", first, "--decision", "challenger")
    assert company.statuses(first) == {"published"}
    assert company.current == first


# -------------------------------------------------------------------------------- going back
def test_after_a_rollback_the_next_month_rests_on_what_stands_and_no_id_is_reused(
    company: Company,
) -> None:
    april = company.current
    grown = dict.fromkeys(in_group(0, "2026-05", 60), NEW_GROUP)
    may = company.month("2026-05", *FIVE, table=customers("2026-05", grown))
    assert {one["id"] for one in may["segments"]} == {"S01", "S02", "S03", "S04", "S05"}

    said = company.says("rollback", april, "--comment", "five are too many", "--who", "Ada")
    assert may["run_id"] in said["says"]
    assert company.current == april
    assert company.statuses(may["run_id"]) == {"withdrawn"}
    assert company.says("show", may["run_id"])["status"] == "withdrawn"
    assert "is withdrawn" in company.says("run", "--resume", may["run_id"], code=2)["error"]
    assert company.says("status", "--month", "2026-05", code=1)["status"] is None
    assert set(company.in_view()["segment_id"]) == {"S01", "S02", "S03", "S04"}
    assert decided(company) == [(april, "rollback")]

    grown = dict.fromkeys(in_group(0, "2026-06", 60), NEW_GROUP)
    june = company.month("2026-06", *FIVE, table=customers("2026-06", grown))
    assert [june["rests_on"][name] for name in ("champion", "previous", "gap")] == [april, april, 1]
    assert {one["id"] for one in june["segments"]} == {"S01", "S02", "S03", "S04", "S06"}
    assert published.registry(company.store)["segment_id"].tolist() == [
        "S01", "S02", "S03", "S04", "S05", "S06",
    ]  # fmt: skip
    told = company.says("rollback", may["run_id"], code=2)
    assert "rolled back past itself" in told["error"]


# --------------------------------------------------------------------- what Prefect records
@pytest.mark.parametrize(
    "words",
    [("publish", "X", "--decision", "keep"), ("rollback", "X")],
    ids=lambda words: words[0],
)
def test_a_password_in_the_store_is_refused_before_prefect_records_it(
    words: tuple[str, ...], waiting: Company
) -> None:
    url = "postgresql://me:s3cret@host/shop"
    told = waiting.says(*words, "--store", url, code=2)
    assert "a password in a URL would be recorded" in told["error"]
    assert "s3cret" not in told["error"]


def test_the_store_of_the_environment_is_no_parameter_of_a_flow(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import decide

    given: list[str] = []

    def spied(run_id: str, **parameters: Any) -> Any:
        given.append(parameters["store"])
        raise InputError("seen")

    monkeypatch.setenv("RESEGMENT_STORE", "postgresql://me:s3cret@host/shop")
    monkeypatch.setattr(decide, "roll_back", spied)
    company.says("rollback", "X", code=2)
    assert given == [""]
