"""What a bad call gets, and what trouble outside gets: a full disk, a place that cannot be written.

One message with the remedy, exit code 2 or 3, one JSON object where JSON was asked for, and
nothing half-written.
"""

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from expectations.contract import CONTRACTS
from tests.told import error_told, one_object

# --- the call is wrong: exit 2 -----------------------------------------------------------------

MONTH = "the call is wrong: month: '2026-13' is no month: write YYYY-MM, as 2026-03"
NO_RUN = "no run {id} in {runs}. `resegment runs` lists what is there."
WRONG: list[tuple[str, str]] = [
    ("run --segments 1", "--segments '1': say auto, or a number from 2 to 50."),
    (
        "run --limit min_survial=1",
        "--limit min_survial: no such limit or threshold. Did you mean min_survival?",
    ),
    (
        "run --limit min_survival=2",
        "the call is wrong: selection.min_survival: Input should be less",
    ),
    ("run --limit segments=4", "--limit segments: say --segments."),
    ("run --embedding umap", "the call is wrong: embedding.embedding: Input should be 'auto'"),
    ("run --segments abc", "--segments 'abc': say auto, or a number from 2 to 50."),
    ("run --segments 51", "--segments '51': say auto, or a number from 2 to 50."),
    ("run --month 2026-13", MONTH),
    ("run --resume 2026-10-00000000", NO_RUN.format(id="2026-10-00000000", runs="{runs}")),
    ("run --resume ../x", NO_RUN.format(id="../x", runs="{runs}")),
    ("run --resume {tmp}/x", NO_RUN.format(id="{tmp}/x", runs="{runs}")),
    ("run --resume ..", NO_RUN.format(id="..", runs="{runs}")),
    ("run --resume .", NO_RUN.format(id=".", runs="{runs}")),
    ("run --resume=", "--resume: no run id. `resegment runs` lists what is there."),
    ("show 2026-10-00000000", NO_RUN.format(id="2026-10-00000000", runs="{runs}")),
    ("show ../x", NO_RUN.format(id="../x", runs="{runs}")),
    ("check {tmp}/{moth}.csv", "source {tmp}/{moth}.csv: only {month} can be filled in. Remove"),
    ("check {csv} --month 2026-13", MONTH),
    ("check {csv} --delimiter ;;", "--delimiter ';;': give one character, for example"),
    ("check {csv} --decimal x", "--decimal 'x': give . or , or leave it out."),
    ("check {csv} --encoding latin-99", "--encoding latin-99: no such encoding. Give one such as"),
    ("check {csv} --refused r.csv", "--refused r.csv: give a name that ends in .parquet."),
    ("check s3://me:secret@b/a.csv", "the call is wrong: source.uri: a password in a URL would"),
    ("sample --output {tmp}/s.xlsx", "sample: s.xlsx ends in none of .csv, .csv.gz, .parquet"),
    ("sample --output {tmp}/s.csv --rows 80001", "sample: rows is 80,001; give 1 to 80,000"),
    ("sample --output {tmp}/s.csv --month 1999-12", "sample: month is 1999-12; synthetic months"),
    ("sample --output {tmp}/s.csv --month 2026-13", MONTH),
]


@pytest.mark.parametrize(("call", "says"), WRONG, ids=[call for call, _ in WRONG])
def test_a_wrong_call_ends_with_exit_code_2_and_writes_nothing(
    call: str,
    says: str,
    resegment: Callable[..., Any],
    csv_of: Callable[..., Path],
    month_of_600: pd.DataFrame,
    tmp_path: Path,
) -> None:
    csv = csv_of(month_of_600.head(1))
    (tmp_path / "x").mkdir()  # a run beside the runs folder: no id may lead there
    (tmp_path / "x" / "manifest.json").write_text("{}")

    def filled(text: str) -> str:
        places = {"{tmp}": tmp_path, "{runs}": tmp_path / "runs", "{csv}": csv}
        for name, place in places.items():
            text = text.replace(name, str(place))
        return text

    message = error_told(resegment, *filled(call).split(), code=2)
    assert message.startswith(filled(says))
    assert "secret" not in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["customers.csv", "x"]


MISUSED: list[tuple[str, str]] = [
    ("run --preset foo", "'--preset': Value error, 'foo' is not one of 'monthly', 'notebook'"),
    ("run --seed -1", "'--seed': Input should be greater than or equal to 0"),
    ("run --nonsense", "No such option: --nonsense"),
    ("sample --output s.csv --rows 0", "'--rows': Input should be greater than or equal to 1"),
    ("sample --output s.csv --rows many", "'--rows': Input should be a valid integer"),
    ("sample", "Missing option '--output'"),
    ("check", "Missing argument 'SOURCE'"),
    ("segment", "No such command 'segment'"),
]


@pytest.mark.parametrize(("call", "says"), MISUSED, ids=[call for call, _ in MISUSED])
def test_a_call_that_is_no_command_is_told_as_usage_and_as_json(
    call: str, says: str, resegment: Callable[..., Any]
) -> None:
    result = resegment(*call.split(), "--json")
    assert result.exit_code == 2
    said = one_object(result)
    assert (says in said["error"], said["exit_code"]) == (True, 2)
    plain = resegment(*call.split())
    assert (plain.exit_code, plain.stdout) == (2, "")
    assert plain.stderr == result.stderr
    assert "--help' for help" in plain.stderr
    assert says in re.sub(r"[│\s]+", " ", plain.stderr)


def test_an_unknown_customer_is_told_by_run_and_the_runs_stay_readable(
    resegment: Callable[..., Any], csv_of: Callable[..., Path], month_of_600: pd.DataFrame
) -> None:
    result = resegment("run", "--source", csv_of(month_of_600.head(1)), "--json")
    assert result.exit_code == 1
    said = one_object(result)
    assert (said["status"], said["rows"]["source"]) == ("refused", 1)
    assert "there are between 100 and 50,000,000 rows (found: 1)" in said["error"]
    run_id = said["run_id"]
    assert error_told(resegment, "show", run_id, "--customer", "C12345", code=2) == (
        f"{run_id}: no customer C12345. Ids are compared letter by letter; customers who objected "
        "are kept nowhere."
    )
    assert one_object(resegment("show", run_id, "--json"))["run_id"] == run_id
    (listed,) = one_object(resegment("runs", "--json"))["runs"]
    assert (listed["run_id"], listed["status"]) == (run_id, "refused")
    assert run_id in resegment("runs").stdout


def test_debug_shows_the_traceback_and_changes_nothing_else(resegment: Callable[..., Any]) -> None:
    plain, debug = (resegment("check", "nope.csv", "--json", *more) for more in ([], ["--debug"]))
    assert plain.exit_code == debug.exit_code == 2
    assert plain.stdout == debug.stdout
    assert "Traceback" not in plain.output
    assert "Traceback" in debug.stderr
    assert debug.stderr.endswith(plain.stderr)


def test_brackets_in_a_pattern_are_shown_as_they_are(
    resegment: Callable[..., Any],
    csv_of: Callable[..., Path],
    month_of_600: pd.DataFrame,
    tmp_path: Path,
) -> None:
    contract = tmp_path / "other.yaml"
    shipped = (CONTRACTS / "ccdata.yaml").read_text()
    contract.write_text(shipped.replace("C[0-9]{5}", "[a-f][/b]{5}"))
    result = resegment("check", csv_of(month_of_600), "--contract", contract)
    assert result.exit_code == 1
    assert result.stdout.count("[a-f][/b]{5}") == 2  # in the table, and in the message


# --- trouble outside: exit 3 -------------------------------------------------------------------


@pytest.mark.parametrize("words", [["runs"], ["runs", "--json"]], ids=" ".join)
def test_output_that_cannot_be_written_is_no_silent_pass(words: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "deployments.cli", *words, "--runs", tmp_path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    said = "error the output: No space left on device. Mend that, then run again.\n"
    assert (ended.returncode, ended.stderr) == (3, said)


def test_a_place_that_cannot_be_written_ends_with_exit_code_3(
    resegment: Callable[..., Any],
    csv_of: Callable[..., Path],
    month_of_600: pd.DataFrame,
    tmp_path: Path,
) -> None:
    csv = csv_of(month_of_600)  # a file where a folder belongs: root may write anywhere else
    before = csv.read_bytes()
    for words in (
        ("sample", "--output", csv / "s.csv"),
        ("check", csv, "--refused", csv / "r.parquet"),
    ):
        message = error_told(resegment, *words, code=3)
        assert message.startswith(f"cannot use {words[-1]}: ")
        assert message.endswith("choose another file.")
    result = resegment("run", "--source", csv, "--runs", csv, "--json")
    message = one_object(result)["error"]
    assert (result.exit_code, result.stderr) == (3, f"error {message}\n")
    assert message.startswith(f"cannot use the run folder {csv}/")
    assert message.endswith("choose another with --runs.")
    assert csv.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [csv.name]


@contextmanager
def full_disk(folder: Path) -> Iterator[Callable[[], None]]:
    """Make a disk of 64 kB at `folder`; yields what makes room on it.

    Where none can be mounted, no file of this process can be longer than 32 kB instead.
    """
    folder.mkdir()
    mounted = mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", folder)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def make_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        if mounted:
            assert mount("-o", "remount,size=64m", folder)

    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (32_000, before[1]))
    try:
        yield make_room
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        if mounted:
            subprocess.run(["umount", folder], check=True)


def mount(*words: object) -> bool:
    try:
        return subprocess.run(["mount", *map(str, words)], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


NO_ROOM = "(No space left on device|File too large)"


def test_a_full_disk_ends_the_run_and_once_there_is_room_it_is_resumed(
    resegment: Callable[..., Any],
    csv_of: Callable[..., Path],
    month_of_600: pd.DataFrame,
    tmp_path: Path,
) -> None:
    source, runs = csv_of(month_of_600), tmp_path / "disk"
    with full_disk(runs) as make_room:
        result = resegment(
            "run",
            "--source",
            source,
            "--segments",
            4,
            "--embedding",
            "none",
            "--runs",
            runs,
            "--store",
            tmp_path / "elsewhere.db",
            "--json",
        )
        assert result.exit_code == 3
        (folder,) = runs.iterdir()
        message = one_object(result)["error"]
        remedy = rf"Free space, then `resegment run --resume {folder.name}.*`\."
        assert re.fullmatch(rf"cannot write {folder}/raw\.parquet: {NO_ROOM}\. {remedy}", message)
        manifest = json.loads((folder / "manifest.json").read_text())
        assert (manifest["status"], manifest["error"]) == ("failed", message)
        assert manifest["stages"] == {}
        left = {path.name for path in folder.iterdir()}
        assert left == {".lock", "manifest.json", "quarantine.parquet"}

        make_room()
        resumed = resegment("run", "--resume", folder.name, "--runs", runs, "--json")
        assert resumed.exit_code == 0, resumed.output
        said = one_object(resumed)
        assert (said["run_id"], said["status"], said["error"]) == (folder.name, "published", None)
        assert said["rows"]["kept"] == len(pd.read_parquet(folder / "segments.parquet")) == 600
        assert not list(folder.rglob("*.unfinished"))


def test_a_full_disk_leaves_no_half_file_of_a_sample_or_of_refused_rows(
    resegment: Callable[..., Any],
    csv_of: Callable[..., Path],
    month_of_600: pd.DataFrame,
    tmp_path: Path,
) -> None:
    source, disk = csv_of(month_of_600.assign(BALANCE=-1)), tmp_path / "disk"
    with full_disk(disk):
        (disk / "ballast").write_bytes(bytes(32_000))
        for words in (
            ("sample", "--output", disk / "sample.csv"),
            ("sample", "--output", disk / "sample.csv.gz"),
            ("sample", "--output", disk / "sample.parquet"),
            ("check", source, "--refused", disk / "refused.parquet"),
        ):
            message = error_told(resegment, *words, code=3)
            assert re.match(rf"cannot write {words[-1]}: .*{NO_ROOM}", message)
            assert re.search(r"Free space, .*choose another file\.", message)
            assert [path.name for path in disk.iterdir()] == ["ballast"]
