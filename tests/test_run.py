"""The run folder: what is committed is whole, gated, and not computed twice."""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from expectations.contract import Contract
from expectations.errors import InputError, OutsideError, ResegmentError
from expectations.gate import GateRefused
from expectations.rules import Rule
from tasks import keeping
from tasks.outcome import Outcome
from tasks.run import Run, new_run_id
from tasks.runs import find_run, list_runs

SOME = Rule("rows", "row_count", (), "refuse", "there are rows", {"low": 1, "high": 10})
ODD = Rule("x.odd", "one_of", ("x",), "refuse", "x is odd", {"values": (1, 3, 5)})


@pytest.fixture
def run(tmp_path: Path, ccdata: Contract) -> Run:
    facts = {"month": "2026-10", "source": {}, "contract": {"content": ccdata.model_dump()}}
    return Run.open(tmp_path / "runs", "2026-10-0badcafe", facts)


class Step:
    """A step that counts its calls."""

    def __init__(self, *values: int) -> None:
        self.values, self.calls = values, 0
        self.__module__, self.__qualname__ = "tests", "step"

    def __call__(self, *inputs: Any) -> Outcome:
        self.calls += 1
        return Outcome(pd.DataFrame({"x": self.values}), {"part.json": {"fitted": 1}}, {"seen": 1})


def rules(*asked: Rule) -> Callable[..., tuple[Rule, ...]]:
    return lambda *_: asked


def test_a_stage_is_kept_with_its_parts_and_entered_in_the_manifest(run: Run) -> None:
    path = run.commit("clean", Step(1, 3), 7, rules=rules(SOME, ODD))
    assert run.read(path)["x"].tolist() == [1, 3]
    entry = run.manifest["stages"]["clean"]
    assert (entry["rows"], entry["log"]) == (2, {"seen": 1})
    assert entry["sha256"] == keeping.sha256_of(path)
    assert entry["parts"] == {"part.json": keeping.sha256_of(run.path("part.json"))}
    assert run.manifest["gates"]["clean"]["verdict"] == "pass"
    assert run.manifest["gates"]["clean"]["evaluated"] == 2


def test_what_is_kept_is_not_computed_again_while_its_inputs_are_the_same(run: Run) -> None:
    step = Step(1, 3)
    before = run.commit("clean", step, 7, rules=rules(SOME))
    stamp = before.stat().st_mtime_ns
    again = run.commit("clean", step, 7, rules=rules(SOME))
    assert (step.calls, again.stat().st_mtime_ns) == (1, stamp)
    run.commit("clean", step, 8, rules=rules(SOME))
    assert step.calls == 2


def test_a_stage_follows_the_content_of_the_files_it_was_made_from(run: Run) -> None:
    raw = run.commit("clean", Step(1, 3), rules=rules(SOME))
    step = Step(5)
    run.commit("scaled", step, raw, rules=rules(SOME))
    run.commit("clean", Step(1, 5), "other", rules=rules(SOME))
    run.commit("scaled", step, raw, rules=rules(SOME))
    assert step.calls == 2


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"half")])
@pytest.mark.parametrize("name", ["clean.parquet", "part.json"])
def test_a_damaged_stage_or_part_is_made_anew(
    run: Run, name: str, spoil: Callable[[Path], Any]
) -> None:
    step = Step(1, 3)
    run.commit("clean", step, rules=rules(SOME))
    spoil(run.folder / name)
    path = run.commit("clean", step, rules=rules(SOME))
    assert step.calls == 2
    assert run.read(path)["x"].tolist() == [1, 3]


def test_a_refused_table_is_kept_nowhere_but_as_evidence(run: Run) -> None:
    with pytest.raises(GateRefused, match="clean: 1 of 3 rows break 'x is odd'") as refusal:
        run.commit("clean", Step(1, 2, 3), rules=rules(SOME, ODD))
    assert "refused-clean.parquet" in str(refusal.value)
    assert "clean" not in run.manifest["stages"]
    assert not run.path("clean").exists()
    assert not run.path("part.json").exists()
    refused = run.read(run.folder / "refused-clean.parquet")
    assert refused[["x", "_reasons"]].to_numpy().tolist() == [[2, "x.odd"]]
    assert run.manifest["gates"]["clean"]["verdict"] == "refuse"


def test_a_gate_without_rules_refuses(run: Run) -> None:
    with pytest.raises(GateRefused, match="no rule was evaluated"):
        run.commit("clean", Step(1), rules=rules())


def test_an_unexpected_error_leaves_as_stage_and_type_only(run: Run) -> None:
    def broken(_: int) -> Outcome:
        raise ValueError("customer C10001 owes 7")

    with pytest.raises(ResegmentError, match="clean: unexpected ValueError") as caught:
        run.commit("clean", broken, 7, rules=rules(SOME))
    assert "C10001" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "C10001" in (run.folder / "errors" / "clean.txt").read_text()
    assert run.id in str(caught.value)


def test_attach_keeps_text_tables_parts_and_does_not_repeat_itself(run: Run) -> None:
    calls = []

    def make(value: object) -> object:
        calls.append(value)
        return value

    table = pd.DataFrame({"x": [1]})
    assert run.attach("report.html", make, "<p>").read_text() == "<p>"
    assert run.read(run.attach("sub/facts.json", make, {"a": 1})) == {"a": 1}
    path = run.attach("x.parquet", lambda: table)
    assert run.read(run.attach("copy.parquet", make, path)).equals(table)
    run.attach("report.html", make, "<p>")
    assert len(calls) == 3


def test_a_second_process_is_kept_out(run: Run) -> None:
    with (
        run.lock(),
        pytest.raises(OutsideError, match="worked on by another process"),
        Run(run.folder, run.id).lock(),
    ):
        pass
    with run.lock():
        pass


def test_a_new_run_starts_its_manifest_and_a_known_one_keeps_it(run: Run, tmp_path: Path) -> None:
    run.note(status="candidate")
    again = Run.open(tmp_path / "runs", run.id, {"month": "1999-01"})
    assert (again, again.manifest["month"]) == (run, "2026-10")
    assert again.manifest["status"] == "candidate"


def test_run_ids_carry_the_month_and_the_flow_run() -> None:
    flow_run_id = "0badcafe-1234-5678-9abc-def012345678"
    assert new_run_id(pd.Period("2026-03", "M"), flow_run_id) == "2026-03-0badcafe"


@pytest.mark.parametrize("run_id", ["2026-10-ffffffff", "../elsewhere", "", "."])
def test_an_unknown_run_is_an_error_that_says_where_it_looked(run_id: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run .*resegment runs"):
        find_run(tmp_path, run_id)


def test_runs_are_listed_by_month_and_half_written_ones_left_out(run: Run) -> None:
    runs = run.folder.parent
    Run.open(runs, "2026-09-00000000", {"month": "2026-09"})
    (runs / "broken").mkdir()
    (runs / "broken" / "manifest.json").write_text("{")
    assert [one["run_id"] for one in list_runs(runs)] == ["2026-09-00000000", run.id]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A file that grows beyond `size` bytes fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_half_written(run: Run) -> None:
    big = Outcome(pd.DataFrame({"x": range(100_000)}))
    always = Rule("rows", "row_count", (), "refuse", "there are rows", {"low": 1, "high": 10**6})
    with files_of_at_most(20_000), pytest.raises(OutsideError, match="Free space") as caught:
        run.commit("clean", lambda: big, rules=rules(always))
    assert f"--resume {run.id}" in str(caught.value)
    assert not list(run.folder.glob("*.unfinished")) + list(run.folder.glob(".*unfinished"))
    assert not run.path("clean").exists()
    json.loads((run.folder / "manifest.json").read_text())
    assert run.read(run.commit("clean", lambda: big, rules=rules(always))).equals(big.table)


def test_a_run_folder_that_cannot_be_made_is_an_outside_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file in the folder's place")
    with pytest.raises(OutsideError, match="--runs"):
        Run.open(tmp_path / "runs", "2026-10-0badcafe", {})
