"""Months as they come: first, normal, drifted, refused, late, corrected, repeated, changed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pandas as pd
import pytest

from deployments.console import error_of
from tasks import delivering, published, run_list, steps
from tasks.publishing import Superseded
from tests.company import ID, NEVER, NEW_GROUP, Company, customers, in_group

pytest_plugins = ["tests.companies"]
pytestmark = pytest.mark.usefixtures("quick_runs")


def verdicts(summary: dict[str, Any]) -> dict[str, str]:
    return {gate["stage"]: gate["verdict"] for gate in summary["gates"]}


def failed(summary: dict[str, Any]) -> set[str]:
    return {one["rule"] for gate in summary["gates"] for one in gate["failed"]}


def only_run(company: Company, month: str) -> str:
    (run_id,) = (path.name for path in company.runs.glob(f"{month}-*"))
    return run_id


# ------------------------------------------------------------------------ as it should be
def test_the_first_month_is_published_with_a_fit_of_its_own(after_march: Company) -> None:
    first = only_run(after_march, "2026-03")
    manifest = after_march.run_of(first).manifest
    assert (after_march.current, manifest["model"]) == (first, "challenger")
    assert after_march.statuses(first) == {"published"}
    assert published.registry(after_march.store)["born_run"].tolist() == [first] * 4
    assert set(after_march.assigned(first)["status"]) == {"joined"}
    told = after_march.says("status", "--month", "2026-03")
    assert (told["status"], told["run_id"]) == ("published", first)
    assert after_march.says("status", "--month", "2026-04", code=1)["status"] is None


def test_a_normal_month_is_published_with_the_champions_segments(after_april: Company) -> None:
    first, second = (only_run(after_april, month) for month in ("2026-03", "2026-04"))
    manifest = after_april.run_of(second).manifest
    assert (after_april.current, manifest["model"]) == (second, "champion")
    assert after_april.line_of(second)["model_sha256"] == after_april.line_of(first)["model_sha256"]
    changes = after_april.run_of(second).log("publication")["changes"]
    assert {name: changes[name] for name in ("stayed", "moved", "joined", "left", "churn")} == {
        "stayed": 396, "moved": 0, "joined": 4, "left": 4, "churn": 0,
    }  # fmt: skip
    segments = pd.read_parquet(after_april.run_of(second).path("segments"))
    assert (segments["challenger_segment"] == segments["champion_segment"]).all()  # ids are matched
    stayed = after_april.assigned(second).query("status == 'stayed'")
    assert set(stayed["since"]) == {"2026-03"}


def test_a_month_that_runs_or_crashed_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = Company.founded(tmp_path)
    seen: list[str] = []

    def look_and_fail(*_: Any) -> None:
        url = f"sqlite:///{company.runs / 'segments.db'}"
        seen.extend(one["status"] for one in run_list.all_runs(company.runs, url))
        raise ZeroDivisionError("of K0001")

    monkeypatch.setattr(steps, "clean_customers", look_and_fail)
    said = company.month("2026-03", code=3)
    assert seen == ["running"]
    assert "unexpected ZeroDivisionError" in said["error"]
    assert "K0001" not in said["error"]
    assert [one["status"] for one in company.says("runs")["runs"]] == ["failed"]
    assert company.run_of(only_run(company, "2026-03")).manifest["status"] == "failed"
    assert published.run_lines(company.store) == []


# --------------------------------------------------------------------------- limits that ask
def drifted(month: str, factor: float, n_odd: int) -> pd.DataFrame:
    """Customers whose spending has changed, some of whom fit nowhere."""
    table = customers(month, dict.fromkeys(in_group(0, month, n_odd), NEW_GROUP))
    return table.assign(spend=table["spend"] * factor)


def test_a_month_that_has_drifted_a_little_is_marked_and_published(company: Company) -> None:
    said = company.month("2026-05", *NEVER, table=drifted("2026-05", 1.1, 16))
    assert said["status"] == "published"
    assert [verdicts(said)[stage] for stage in ("raw", "segments")] == ["warn", "warn"]
    assert failed(said) >= {"spend.psi_warn", "typical.warn"}
    assert not failed(said) & {"spend.psi_ask", "typical.ask"}


def test_a_drifted_month_waits_for_a_person_who_then_publishes_it(company: Company) -> None:
    april, table = company.current, drifted("2026-05", 1.3, 40)
    run_id = company.month("2026-05", *NEVER, table=table, code=1)["run_id"]
    assert failed(company.says("show", run_id)) >= {"spend.psi_ask", "typical.ask"}
    assert company.statuses(run_id) == {"awaiting"}
    assert company.current == april
    assert company.says("status", "--month", "2026-05", code=1)["status"] is None
    done = company.says("publish", run_id, "--decision", "champion", "--comment", "prices rose")
    assert (done["status"], done["model"]) == ("published", "champion")
    assert company.statuses(run_id) == {"published"}
    assert company.current == run_id
    assert [one["comment"] for one in done["decisions"]] == ["prices rose"]


def test_too_many_moves_ask_and_the_moved_are_found_by_cause(company: Company) -> None:
    group = in_group(0, "2026-05", 80)
    moved = dict.fromkeys(group, 2)
    loose = ("--limit", "ask_psi=99")
    said = company.month("2026-05", *NEVER, *loose, table=customers("2026-05", moved), code=1)
    assert said["status"] == "awaiting"
    assert failed(said) >= {"churn.total", "size_change.between"}
    moves = pd.read_parquet(company.run_of(said["run_id"]).path("moves.parquet"))
    known = moves[moves["status"] == "moved"]
    assert set(known["customer_id"]) == set(group)
    assert set(known["cause"]) == {"behaviour"}


# ------------------------------------------------------------------------ gaps and corrections
def test_after_a_refused_month_the_next_compares_with_the_one_before(company: Company) -> None:
    april, table = company.current, customers("2026-05")
    refused = company.month("2026-05", table=table.assign(spend=-1.0), code=1)
    assert company.statuses(refused["run_id"]) == {"refused"}
    assert company.current == april
    june = company.month("2026-06", *NEVER)
    rests = company.run_of(june["run_id"]).manifest["base"]
    assert (rests["previous"], rests["previous_month"], rests["gap"]) == (april, "2026-04", 1)
    assert "The month before this one is missing." in june["changes_in_words"]
    assert (june["changes"]["joined"], june["changes"]["left"]) == (8, 8)


def test_a_late_correction_stands_and_leaves_the_later_month_current(company: Company) -> None:
    april = company.current
    may = company.month("2026-05", *NEVER)["run_id"]
    corrected = in_group(0, "2026-04", 5)
    again = company.month("2026-04", table=customers("2026-04", dict.fromkeys(corrected, 1)))
    assert company.current == may
    manifest = company.run_of(again["run_id"]).manifest
    done = manifest["publication"]
    assert (done["revision"], done["is_current"]) == (2, False)
    assert manifest["base"]["fit"] == "none"  # an older month gets no challenger
    moved = company.assigned(again["run_id"]).query("status == 'moved'")
    assert set(moved.index) == set(corrected)
    assert set(moved["cause"]) == {"correction"}
    told = company.says("status", "--month", "2026-04")
    assert (told["run_id"], told["current"]) == (again["run_id"], may)
    assert told["rests_on_corrected"] == [may]
    assert company.line_of(april)["replaced_by"] == again["run_id"]


def test_a_customer_set_aside_for_three_months_is_not_assessed_and_comes_back(
    company: Company,
) -> None:
    same, other = in_group(0, "2026-05", 2)
    for month in ("2026-05", "2026-06", "2026-07"):
        table = customers(month)
        table["spend"] = table["spend"].mask(table[ID].isin([same, other]), -1.0)
        said = company.month(month, *NEVER, table=table)
        assert (said["rows"]["quarantined"], said["changes"]["not_assessed"]) == (2, 2)
        assert (said["changes"]["left"], said["changes"]["joined"]) == (4, 4)
        assert said["changes"]["stayed"] + said["changes"]["moved"] == 394
        rows = company.assigned(said["run_id"]).loc[[same, other]]
        assert set(rows["status"]) == {"not_assessed"}
        assert set(rows["segment_id"]) == {"S01"}
        assert set(rows["assessed"]) == {"2026-04"}
    back = company.month("2026-08", *NEVER, table=customers("2026-08", {other: 2}))
    rows = company.assigned(back["run_id"])
    assert dict(rows.loc[same, ["status", "segment_id"]]) == {
        "status": "stayed",
        "segment_id": "S01",
    }
    assert dict(rows.loc[other, ["status", "previous"]]) == {"status": "moved", "previous": "S01"}
    assert set(rows.loc[[same, other], "assessed"]) == {"2026-08"}
    assert back["changes"]["moved"] == 1


# --------------------------------------------------------------------- the same source again
def test_the_same_content_and_parameters_again_are_nothing_to_do(company: Company) -> None:
    april, folders = company.current, set(company.runs.iterdir())
    said = company.month("2026-04")
    assert said["run_id"] == april == company.current
    assert any("Nothing to do" in line for line in said["warnings"])
    assert set(company.runs.iterdir()) == folders
    assert len(published.run_lines(company.store)) == 2


def test_the_content_of_another_month_is_refused(company: Company) -> None:
    april = company.current
    said = company.month("2026-05", table=customers("2026-04"), code=1)
    assert "the very content that was published as 2026-04" in said["error"]
    assert company.statuses(said["run_id"]) == {"refused"}
    assert company.current == april


def test_a_table_in_which_hardly_anybody_changed_is_marked(company: Company) -> None:
    april, table = company.current, customers("2026-04")
    table = table.assign(age=table["age"].mask(table.index == 7, 0.5))
    said = company.month("2026-05", *NEVER, "--publish", "never", table=table)
    assert failed(said) == {"customer.changed"}
    assert company.statuses(said["run_id"]) == {"candidate"}  # beside a store, a line in it
    assert company.current == april


# ------------------------------------------------------------------------- refit and publish
def test_never_refit_needs_a_published_model(company: Company, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    nobody = Company.founded(tmp_path / "new")
    assert "nothing is published yet" in nobody.month("2026-03", *NEVER, code=2)["error"]
    said = company.month("2026-05", *NEVER)
    assert set(verdicts(said).values()) == {"pass"}
    selection = pd.read_parquet(company.run_of(said["run_id"]).path("selection"))
    assert len(selection) == 1
    segments = pd.read_parquet(company.run_of(said["run_id"]).path("segments"))
    assert segments["challenger_segment"].isna().all()


def test_a_name_and_the_ids_survive_a_refit(company: Company) -> None:
    company.says("name", "S02", "Regulars", "--note", "they come every week")
    april = company.current
    said = company.month("2026-04", "--refit", "always")  # the same customers, another revision
    assert (said["status"], said["model"]) == ("published", "challenger")
    assert said["publication"]["revision"] == 2
    assert company.current == said["run_id"]
    model, before = company.line_of(said["run_id"])["model_sha256"], company.line_of(april)
    assert model != before["model_sha256"]
    assert {one["id"]: one["name"] for one in said["segments"]}["S02"] == "Regulars"
    view = company.in_view()
    assert set(view.loc[view["segment_id"] == "S02", "name"]) == {"Regulars"}
    both = view.join(company.assigned(april), rsuffix="_before", how="inner")
    assert (both["segment_id"] == both["segment_id_before"]).all()


def test_without_structure_the_champion_goes_on_and_a_refit_is_refused(company: Company) -> None:
    auto = ("--segments", "auto", "--limit", "min_smallest_share=0.45")  # nothing is admissible
    asked = company.month("2026-05", *auto, code=1)  # the champion's own smallest segment asks
    assert verdicts(asked)["selection"] == "warn"
    assert (asked["status"], failed(asked)) == ("awaiting", {"chosen.once", "segment.share"})
    assert asked["k"] == 4
    refused = company.month("2026-05", *auto, "--refit", "always", code=1)
    assert refused["status"] == "refused"
    assert "No stable segmentation" in refused["error"]
    done = company.says("publish", asked["run_id"], "--decision", "champion")
    assert done["status"] == "published"


# --------------------------------------------------------------------------- another contract
def test_a_changed_contract_leaves_no_champion_and_asks(company: Company) -> None:
    april, before = company.current, company.assigned(company.current)
    company.contract.write_text(
        company.contract.read_text().replace("visits: {kind: money}", "visits: {kind: score}")
    )
    said = company.month("2026-05", code=1)
    run_id = said["run_id"]
    assert company.statuses(run_id) == {"awaiting"}
    assert any("the contract has changed" in why for why in said["asks"])
    assert company.current == april
    no_champion = company.says("publish", run_id, "--decision", "champion", code=2)
    assert "no published model that could assign" in no_champion["error"]
    company.says("publish", run_id, "--decision", "challenger")
    assert company.statuses(run_id) == {"published"}
    both = company.assigned(run_id).join(before, rsuffix="_before", how="inner")
    assert (both["segment_id"] == both["segment_id_before"]).all()  # matched by who is in them
    assert len(published.registry(company.store)) == 4


def test_a_new_column_is_shown_and_changes_nothing_until_a_refit(company: Company) -> None:
    company.contract.write_text(
        company.contract.read_text().replace("visits:", "tips: {kind: score}\n  visits:")
    )

    def with_tips(month: str) -> pd.DataFrame:
        table = customers(month)
        return table.assign(tips=table["returns"] + table["age"] - table["returns"] * table["age"])

    model = company.line_of(company.current)["model_sha256"]
    may = company.month("2026-05", table=with_tips("2026-05"))
    assert may["status"] == "published"
    assert company.line_of(may["run_id"])["model_sha256"] == model
    assert "tips" not in may["features"]
    assert "tips" in pd.read_parquet(company.run_of(may["run_id"]).path("publication"))
    june = company.month("2026-06", "--refit", "always", table=with_tips("2026-06"))
    assert "tips" in june["features"]
    assert company.line_of(june["run_id"])["model_sha256"] != model


# ------------------------------------------------------------------------ stores and neighbours
def test_real_and_synthetic_months_never_share_a_store(company: Company) -> None:
    where = ("--store", f"sqlite:///{company.runs / 'segments.db'}")
    said = company.says("run", "--source", "sample", "--month", "2026-05", *where, code=2)
    assert "holds real months, and this one is synthetic" in said["error"]


def test_of_two_runs_of_a_month_at_once_one_publishes_and_the_other_says_why_not(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.parameters import SegmentParameters
    from flows.segment import segment

    april, both_are_there = company.current, Barrier(2, timeout=120)
    publish = delivering.publish

    def publish_together(*inputs: Any) -> Any:
        both_are_there.wait()
        return publish(*inputs)

    monkeypatch.setattr(delivering, "publish", publish_together)
    customers("2026-05").to_parquet(company.folder / "2026-05.parquet")
    parameters = SegmentParameters.model_validate(
        {
            "source": {"uri": str(company.folder / "2026-05.parquet")},
            "month": "2026-05",
            "contract": str(company.contract),
            "selection": {"resamples": 10},
            "refit": "never",
            "runs": str(company.runs),
        }
    )
    run: Callable[[int], Any] = lambda _: segment(parameters, return_state=True)  # noqa: E731
    with ThreadPoolExecutor(2) as pool:
        states = sorted(pool.map(run, range(2)), key=lambda state: state.is_failed())
    assert [state.is_failed() for state in states] == [False, True]
    error = error_of(states[1])
    assert isinstance(error, Superseded)
    assert error.exit_code == 1
    assert "Run 2026-05 again" in str(error)
    manifests = [company.run_of(path.name).manifest for path in company.runs.glob("2026-05-*")]
    assert sorted(one["status"] for one in manifests) == ["failed", "published"]
    assert {one["base"]["current"] for one in manifests} == {april}
    (done,) = (one["run_id"] for one in manifests if one["status"] == "published")
    assert company.current == done
