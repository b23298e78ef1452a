"""One planted defect per gate: the run stops there, and what was refused is kept.

Each defect is planted in the input or in a step's output; the gate's code is as it is. That the
one rule decides is shown by taking it out: the same defect then passes that gate.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from prefect.states import State

import tasks.run
from flows.parameters import SegmentParameters
from flows.segment import segment
from tasks import ingestion, steps
from tasks.outcome import Outcome
from tasks.run import STAGES

TASK_OF = dict(
    zip(STAGES, ("read", "clean", "scale", "select", "embed", "cluster", "profile"), strict=True)
)


class Planted(NamedTuple):
    """A defect: where it is planted, what is done to the table, and the rule it breaks."""

    stage: str
    step: tuple[Any, str]
    spoil: Callable[[pd.DataFrame], pd.DataFrame]
    rule: str
    says: str


def negative_balances(raw: pd.DataFrame) -> pd.DataFrame:
    return raw.assign(BALANCE=raw["BALANCE"].mask(raw.index < 30, -1.0))


def one_lost(clean: pd.DataFrame) -> pd.DataFrame:
    return clean.iloc[1:]


def shifted(scaled: pd.DataFrame) -> pd.DataFrame:
    return scaled.assign(BALANCE=scaled["BALANCE"] + 0.001)


def two_chosen(selection: pd.DataFrame) -> pd.DataFrame:
    return selection.assign(chosen=selection["k"].isin([4, 5]))


def two_swapped(embedding: pd.DataFrame) -> pd.DataFrame:
    ids = embedding["CUST_ID"].tolist()
    return embedding.assign(CUST_ID=pd.array([ids[1], ids[0], *ids[2:]], dtype="str"))


def one_without(segments: pd.DataFrame) -> pd.DataFrame:
    return segments.assign(segment=segments["segment"].mask(segments.index == 7))


def one_counted_twice(publication: pd.DataFrame) -> pd.DataFrame:
    return publication.assign(size=publication["size"] + (publication.index == 0))


DEFECTS = [
    Planted("raw", (ingestion, "read_customers"), negative_balances, "few_refused",
            "30 of 600 rows break 'BALANCE lies in 0 to 1e+09'"),
    Planted("clean", (steps, "clean_customers"), one_lost, "rows",
            "rows in are rows kept and rows set aside (found: 599)"),
    Planted("scaled", (steps, "scale_customers"), shifted, "BALANCE.mean",
            "BALANCE has mean 0"),
    Planted("selection", (steps, "select_segments"), two_chosen, "chosen.once",
            "exactly one candidate is chosen"),
    Planted("embedding", (steps, "embed_customers"), two_swapped, "CUST_ID.same",
            "2 of 600 rows break 'the customers are those of the step before"),
    Planted("segments", (steps, "cluster_customers"), one_without, "segment.not_null",
            "1 of 600 rows break 'segment is not missing'"),
    Planted("publication", (steps, "publish_segments"), one_counted_twice, "size.total",
            "the sizes add up to 600 customers (found: 601)"),
]  # fmt: skip


@pytest.fixture
def run_with(
    prefect_server: None,
    monkeypatch: pytest.MonkeyPatch,
    csv_of: Callable[..., Path],
    month_of_600: pd.DataFrame,
    tmp_path: Path,
) -> Callable[[Planted], tuple[State, Path]]:
    """Run the month with a defect planted; the flow's state and the run's folder."""

    def run(planted: Planted) -> tuple[State, Path]:
        module, name = planted.step
        step = getattr(module, name)

        @functools.wraps(step)
        def spoilt(*inputs: Any, **settings: Any) -> Outcome:
            made = step(*inputs, **settings)
            return made._replace(table=planted.spoil(made.table))

        monkeypatch.setattr(module, name, spoilt)
        parameters = SegmentParameters.model_validate(
            {
                "source": {"uri": str(csv_of(month_of_600))},
                "selection": {"segments": 4, "resamples": 10},
                "plain_rule": {"null_draws": 2},
                "embedding": {"embedding": "none"},
                "runs": str(tmp_path / "runs"),
            }
        )
        state = segment(parameters, return_state=True)
        (manifest,) = (tmp_path / "runs").glob("*/manifest.json")
        return state, manifest.parent

    return run


@pytest.mark.parametrize("planted", DEFECTS, ids=lambda planted: planted.stage)
def test_a_planted_defect_stops_the_run_at_its_gate(
    planted: Planted, run_with: Callable[[Planted], tuple[State, Path]]
) -> None:
    state, folder = run_with(planted)
    assert (state.type.value, state.name) == ("FAILED", "Refused")
    assert planted.says in state.message
    assert state.message.startswith(f"{planted.stage}: ")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["status"], manifest["error"]) == ("refused", state.message)
    verdict = manifest["gates"][planted.stage]
    assert verdict["verdict"] == "refuse"
    assert planted.rule in [one["rule"] for one in verdict["failed"]]
    assert_nothing_downstream(planted.stage, state, folder, manifest)
    kept = "quarantine" if planted.stage == "raw" else f"refused-{planted.stage}"
    assert f"{kept}.parquet" in state.message
    assert len(pd.read_parquet(folder / f"{kept}.parquet")) > 0
    assert planted.stage in (folder / "report.html").read_text()


def assert_nothing_downstream(
    stage: str, state: State, folder: Path, manifest: dict[str, Any]
) -> None:
    """Neither a file, nor an entry, nor a task run of any later stage, and not of this one."""
    later = STAGES[STAGES.index(stage) :]
    assert not set(later) & set(manifest["stages"])
    assert not [one for one in later if (folder / f"{one}.parquet").exists()]
    started = {name for name in task_names(state) if name in TASK_OF.values()}
    assert started == {TASK_OF[one] for one in STAGES[: STAGES.index(stage) + 1]}


def task_names(state: State) -> set[str]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    ours = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        return {run.name.rsplit("-", 1)[0] for run in client.read_task_runs(flow_run_filter=ours)}


@pytest.mark.parametrize("planted", DEFECTS, ids=lambda planted: planted.stage)
def test_without_the_one_rule_the_defect_would_pass_its_gate(
    planted: Planted,
    run_with: Callable[[Planted], tuple[State, Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = tasks.run.check

    def without_the_rule(stage: str, table: pd.DataFrame, rules: Any) -> Any:
        return ask(stage, table, [rule for rule in rules if rule.id != planted.rule])

    monkeypatch.setattr(tasks.run, "check", without_the_rule)
    _, folder = run_with(planted)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["gates"][planted.stage]["verdict"] in ("pass", "warn")
    assert planted.stage in manifest["stages"]


def test_the_command_ends_with_exit_code_1_and_the_gates_message(
    resegment: Callable[..., Any], csv_of: Callable[..., Path], month_of_600: pd.DataFrame
) -> None:
    result = resegment("run", "--source", csv_of(negative_balances(month_of_600)))
    assert result.exit_code == 1
    assert "refused: raw: 30 of 600 rows break a rule" in result.stdout
    assert "Traceback" not in result.output
