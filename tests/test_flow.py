"""The monthly flow, end to end: reference figures, its artifacts, a table of another kind."""

import base64
import html
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import keeping
from tasks.run import STAGES, Run
from tasks.sample import draw_month

ELEVEN = [
    "BALANCE", "BALANCE_FREQUENCY", "PURCHASES", "ONEOFF_PURCHASES", "INSTALLMENTS_PURCHASES",
    "CASH_ADVANCE", "PURCHASES_FREQUENCY", "CREDIT_LIMIT", "PAYMENTS", "PRC_FULL_PAYMENT", "TENURE",
]  # fmt: skip
QUICK = ("--limit", "resamples=10", "--limit", "null_draws=2")
PINNED = ("--segments", "4", "--embedding", "none", *QUICK)  # where the choice is not the subject
SEVEN_SIZES = [1839, 1721, 1475, 1383, 1078, 877, 577]

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def reference_run(
    prefect_server: None, reference_csv: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The reference table at k = 7 in the plain space, as the command reports it."""
    return run_json(
        tmp_path_factory.mktemp("reference"),
        *("--source", str(reference_csv), "--segments", "7", "--embedding", "none"),
    )


def run_json(folder: Path, *words: str) -> dict[str, Any]:
    from typer.testing import CliRunner

    from deployments.cli import app

    result = CliRunner().invoke(app, ["run", *words, "--json", "--runs", str(folder)])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_reference_table_gives_the_reference_figures(reference_run: dict[str, Any]) -> None:
    metrics = reference_run["metrics"]
    assert reference_run["rows"] == {
        "source": 8950, "kept": 8950, "quarantined": 0, "objected": 0,
    }  # fmt: skip
    assert reference_run["features"] == ELEVEN
    assert metrics["inertia"] == pytest.approx(42_119, rel=0.005)
    assert metrics["silhouette"] == pytest.approx(0.2434, abs=0.005)
    assert metrics["davies_bouldin"] == pytest.approx(1.357, abs=0.03)
    assert metrics["calinski_harabasz"] == pytest.approx(1993, rel=0.02)
    assert metrics["bootstrap_ari"] >= 0.93
    assert metrics["worst_jaccard"] >= 0.9
    assert metrics["survival"] >= 0.9
    assert metrics["eta_squared"] == pytest.approx(0.518, abs=0.01)
    assert metrics["tree_accuracy"] == pytest.approx(0.79, abs=0.02)
    assert reference_run["why"].startswith("7: as asked for, and the audit agrees; 7: the largest")
    sizes = [segment["size"] for segment in reference_run["segments"]]
    assert sizes == pytest.approx(SEVEN_SIZES, rel=0.02)
    assert [segment["id"] for segment in reference_run["segments"]] == [
        f"S0{position}" for position in range(1, 8)
    ]


def test_reference_segments_are_those_that_are_known(reference_run: dict[str, Any]) -> None:
    publication = pd.read_parquet(Path(reference_run["run_dir"]) / "publication.parquet")
    by_size = publication.set_index("segment")
    cash, prime = by_size.loc["S01"], by_size.loc["S02"]
    assert cash["PURCHASES"] == 0
    assert cash["CASH_ADVANCE"] == pytest.approx(1270, rel=0.03)
    assert prime["PURCHASES"] == pytest.approx(1757, rel=0.03)
    assert prime["value_share"] == pytest.approx(0.51, abs=0.01)
    assert by_size["TENURE"].min() == 7


def test_same_seed_gives_the_same_segments_byte_for_byte(
    csv_of: Callable[..., Path], month_of_600: pd.DataFrame, tmp_path: Path
) -> None:
    words = ("--source", str(csv_of(month_of_600)), *PINNED)
    runs = [run_json(tmp_path / name, *words) for name in ("first", "second")]
    assert runs[0]["run_id"] != runs[1]["run_id"]
    for stage in ("scaled", "selection", "segments", "publication"):
        first, second = (Path(run["run_dir"]) / f"{stage}.parquet" for run in runs)
        assert first.read_bytes() == second.read_bytes()


def test_the_model_assigns_the_kept_rows_as_the_segments_stage_does(
    reference_run: dict[str, Any],
) -> None:
    folder = Path(reference_run["run_dir"])
    model = keeping.load(folder / "model.skops")
    raw = pd.read_parquet(folder / "raw.parquet")  # gaps and all: the pipeline fills them
    segments = pd.read_parquet(folder / "segments.parquet")
    assert [name for name, _ in model.steps] == ["impute", "transform", "scale", "embed", "kmeans"]
    predicted = np.array([f"S0{label + 1}" for label in model.predict(raw)])
    assert (predicted == segments["segment"].to_numpy()).all()
    alone = model.predict(raw.iloc[[123]])
    assert f"S0{alone[0] + 1}" == segments["segment"].iloc[123]


def test_the_plain_rule_of_the_reference_table_has_its_figures(
    reference_run: dict[str, Any],
) -> None:
    table = pd.read_parquet(Path(reference_run["run_dir"]) / "selection.parquet")
    rule = table.set_index("space").loc["plain rule"]
    assert rule["k"] == 7
    assert rule["eta_squared"] == pytest.approx(0.479, abs=0.01)
    assert rule["agreement"] == pytest.approx(0.829, abs=0.01)
    assert rule["silhouette"] == pytest.approx(0.221, abs=0.01)
    assert rule["smallest_share"] == pytest.approx(0.085, abs=0.005)
    assert reference_run["plain_rule"]["verdict"] == "undecided"


def test_segments_stage_has_champion_columns_and_says_how_sure_it_is(
    reference_run: dict[str, Any],
) -> None:
    segments = pd.read_parquet(Path(reference_run["run_dir"]) / "segments.parquet")
    assert list(segments.columns) == [
        "CUST_ID", "segment", "confidence", "runner_up",
        "champion_segment", "champion_confidence", "champion_runner_up",
        "challenger_segment", "challenger_confidence", "challenger_runner_up", "typical",
    ]  # fmt: skip
    assert segments.filter(like="champion").isna().all(axis=None)
    assert segments["confidence"].between(0, 1).all()
    assert segments["confidence"].mean() > 0.95
    assert (segments["confidence"] == segments["challenger_confidence"]).all()
    assert (segments["challenger_segment"] == segments["segment"]).all()
    assert (segments["runner_up"] != segments["segment"]).all()


@pytest.mark.parametrize("embedding", ["pca", "autoencoder"])
def test_embeddings_complete_on_the_reference_table(
    embedding: str, reference_csv: Path, tmp_path: Path
) -> None:
    words = ("--source", str(reference_csv), "--segments", "7", "--embedding", embedding)
    words = (*words, *QUICK, "--limit", "networks=1", "--limit", "audit_rows=3000")
    summary = run_json(tmp_path, *words)
    assert summary["space"] == embedding
    assert summary["embedding"]["width"] == 6
    own, pca = summary["metrics"]["reconstruction_error"], summary["embedding"]["pca_error"]
    assert pca == pytest.approx(0.124, abs=0.02)
    if embedding == "pca":
        assert own == pca
    else:
        assert own <= 0.5 * pca
        assert (Path(summary["run_dir"]) / "figures" / "training.svg").exists()
    table = pd.read_parquet(Path(summary["run_dir"]) / "selection.parquet")
    chosen = table[table["chosen"]]
    assert chosen[["space", "k"]].to_numpy().tolist() == [[embedding, 7]]


def test_a_run_folder_holds_every_stage_and_is_private(reference_run: dict[str, Any]) -> None:
    folder = Path(reference_run["run_dir"])
    assert folder.stat().st_mode & 0o777 == 0o700
    for stage in (*STAGES, "quarantine"):
        assert len(pd.read_parquet(folder / f"{stage}.parquet").columns) > 2
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["source"]["uri"].endswith(".csv")
    assert manifest["source"]["sha256"].startswith("29eea6389837")
    assert set(manifest["gates"]) == set(manifest["stages"])
    for stage, entry in manifest["stages"].items():
        assert keeping.sha256_of(folder / f"{stage}.parquet") == entry["sha256"]


def test_exploration_leaves_no_cell_of_fewer_than_five_customers(
    reference_run: dict[str, Any],
) -> None:
    cells = pd.read_parquet(
        Path(reference_run["run_dir"]) / "exploration" / "distributions.parquet"
    )
    assert set(cells["column"]) >= set(ELEVEN)
    assert not cells["rows"].between(1, 4).any()


def test_prefect_shows_the_run_under_fixed_keys_and_a_customer_is_named_nowhere(
    resegment: Callable[..., Any], csv_of: Callable[..., Path], month_of_600: pd.DataFrame
) -> None:
    from prefect.client.orchestration import get_client

    path = csv_of(month_of_600)
    told = [resegment("run", "--source", path, *PINNED, "--json") for _ in "12"]
    run_ids = [json.loads(one.stdout)["run_id"] for one in told]
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(limit=200)
        logs = client.read_logs(limit=200)
    report = Path(json.loads(told[-1].stdout)["report"]).read_text()
    said = [report, *(str(one.data) for one in artifacts), *(one.message for one in logs)]
    everything = "\n".join([*said, *(one.output for one in told)])
    assert not [one for one in month_of_600["CUST_ID"] if one in everything]
    for key in ("segment-summary", "segment-gates", "segment-candidates", "segment-segments"):
        described = [a.description for a in artifacts if a.key == key]
        assert set(run_ids) <= set(described)
    last = {a.key: a for a in artifacts if a.description == run_ids[-1]}
    summary = last["segment-summary"]
    picture = summary.data.split("data:image/svg+xml;base64,")[1].split(")")[0]
    assert b"<svg" in base64.b64decode(picture)[:1000]
    gates = json.loads(last["segment-gates"].data)
    assert [gate["stage"] for gate in gates] == [
        "raw", "clean", "scaled", "selection", "embedding", "segments", "publication",
    ]  # fmt: skip
    progress = [a for a in artifacts if a.key == "segment-progress-selection"]
    assert progress[0].data == 100


@pytest.fixture(scope="module")
def synthetic_run(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A synthetic month with everything left to the choice; networks of two epochs."""
    from flows.parameters import SegmentParameters
    from flows.segment import segment

    runs = tmp_path_factory.mktemp("synthetic")
    parameters = SegmentParameters.model_validate(
        {"source": {"rows": 2000}, "embedding": {"epochs": 2}, "runs": str(runs)}
    )
    assert segment(parameters, return_state=True).name == "Completed"
    (manifest,) = runs.glob("*/manifest.json")
    return Run(manifest.parent, manifest.parent.name)


def test_k_and_space_are_chosen_audited_and_told(synthetic_run: Run) -> None:
    log = synthetic_run.log("selection")
    table = pd.read_parquet(synthetic_run.path("selection"))
    assert table["space"].tolist() == [
        *["none"] * 11, "pca", "autoencoder", "plain rule", "plain rule, tuned",
    ]  # fmt: skip
    assert table["k"].tolist()[:11] == list(range(2, 13))
    chosen = table[table["chosen"]].iloc[0]
    assert (chosen["k"], chosen["space"]) == (log["k"], log["space"]) == (7, "none")
    plain = table[table["space"] == "none"].set_index("k")
    assert (plain.loc[[8, 9], "survival"] < 0.9).all()
    assert log["why"].startswith("7: the largest k of which every segment is found again")
    assert "pca" in log["why_space"]
    report = (synthetic_run.folder / "report.html").read_text()
    for words in (log["why"], log["why_space"], log["plain_rule"]["says"]):
        assert words in html.unescape(report)


def test_without_structure_the_month_is_refused_in_words(
    resegment: Callable[..., Any], csv_of: Callable[..., Path], tmp_path: Path
) -> None:
    """Columns permuted in pairs: each says something of its twin, so the filters let it pass."""
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(800, 3, 2)) + 0.9 * rng.normal(size=(800, 3, 1))
    table = pd.DataFrame(pairs.reshape(800, 6), columns=[f"c{i}" for i in range(6)]).round(6)
    table.insert(0, "customer", [f"K{row:05d}" for row in range(800)])
    contract = tmp_path / "noise.yaml"
    kinds = "".join(f"  c{i}: {{kind: score}}\n" for i in range(6))
    contract.write_text(f"name: noise\nid: {{column: customer}}\ncolumns:\n{kinds}")
    words = ("run", "--source", csv_of(table), "--contract", contract, "--embedding", "none")
    result = resegment(*words, "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["status"] == "refused"
    assert "No stable segmentation: 3 fails: its weakest segment was found" in summary["error"]
    folder = Path(summary["run_dir"])
    assert (folder / "figures" / "selection.svg").exists()  # the curves are asked for all the more
    report = (folder / "report.html").read_text()
    assert "Why no segmentation is stable" in report
    assert "then stopped" in report
    assert len(pd.read_parquet(folder / "refused-selection.parquet")) == 11
    anything = ("--limit", "min_survival=0", "--limit", "min_bootstrap_ari=0")
    assert resegment(*words, *anything).exit_code == 0


def test_permuted_columns_leave_no_feature_and_the_month_is_refused(
    resegment: Callable[..., Any], csv_of: Callable[..., Path], month_of_600: pd.DataFrame
) -> None:
    rng = np.random.default_rng(1)
    permuted = month_of_600.apply(lambda column: rng.permutation(column.to_numpy()))
    permuted["CUST_ID"] = month_of_600["CUST_ID"]
    together = ["CASH_ADVANCE", "CASH_ADVANCE_TRX", "CASH_ADVANCE_FREQUENCY"]
    permuted[together] = month_of_600[together]  # else their identity refuses it before
    result = resegment("run", "--source", csv_of(permuted), "--embedding", "none", "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert "No stable segmentation. Left out: " in summary["error"]
    assert "BALANCE (noise: the others explain" in summary["error"]


def test_synthetic_is_said_wherever_it_is_shown(
    synthetic_run: Run, resegment: Callable[..., Any]
) -> None:
    shown = resegment("show", synthetic_run.id, "--runs", synthetic_run.folder.parent)
    assert "synthetic customers" in shown.stdout
    listed = resegment("runs", "--runs", synthetic_run.folder.parent)
    assert "synthetic" in listed.stdout
    assert "Synthetic customers" in (synthetic_run.folder / "report.html").read_text()
    assert synthetic_run.manifest["origin"] == "synthetic"
    truth = pd.read_parquet(synthetic_run.folder / "truth.parquet")
    assert len(truth) == synthetic_run.manifest["rows"]["source"] == 2000


def test_the_usual_notebook_is_measured_beside_the_monthly_preset_and_never_published(
    resegment: Callable[..., Any], csv_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import steps
    from tasks.notebook_network import Design

    quick = partial(
        steps.select_as_notebook, design=Design((4,), (4,), epochs=1), network_resamples=1
    )
    monkeypatch.setattr(steps, "select_as_notebook", quick)
    month = draw_month(2000, pd.Period("2026-03", "M"), seed=0).table
    words = ("run", "--source", csv_of(month), "--preset", "notebook")
    result = resegment(*words, "--limit", "null_draws=2", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["preset"], summary["k"], summary["space"]) == ("notebook", 7, "none")
    assert len(summary["features"]) == 17
    assert summary["why"].startswith("7: as the usual notebook does")
    assert summary["monthly"]["k"] == 7
    folder = Path(summary["run_dir"])
    run = Run(folder, folder.name)
    assert run.manifest["publishable"] is False
    filled = run.log("clean")["filled"]["MINIMUM_PAYMENTS"]
    assert filled["mean"] == pytest.approx(month["MINIMUM_PAYMENTS"].mean())
    table = pd.read_parquet(run.path("selection"))
    chosen = table[table["chosen"]]
    assert chosen[["space", "k"]].to_numpy().tolist() == [["notebook", 7]]
    assert {"none", "plain rule", "notebook autoencoder"} <= set(table["space"])
    segments = pd.read_parquet(run.path("segments"))["segment"].nunique()
    assert segments == 7
    report = (folder / "report.html").read_text()
    for words in ("The usual notebook, for comparison", "monthly preset, k = 7", "never published"):
        assert words in report
    assert (folder / "figures" / "notebook.svg").exists()


def test_the_notebook_has_a_way_of_its_own(resegment: Callable[..., Any]) -> None:
    for words in (("--segments", "5"), ("--embedding", "pca")):
        result = resegment("run", "--preset", "notebook", *words)
        assert result.exit_code == 2
        assert f"a way of its own with {words[0].removeprefix('--')}" in result.output


def test_another_judge_of_who_fits_nowhere_can_be_asked_for(
    resegment: Callable[..., Any], csv_of: Callable[..., Path], month_of_600: pd.DataFrame
) -> None:
    asked = ("--limit", "judge=autoencoder", "--limit", "typical_share=0.9")
    words = ("run", "--source", csv_of(month_of_600), *PINNED, *asked, "--json")
    summary = json.loads(resegment(*words).stdout)
    assert summary["untypical_share"] == pytest.approx(0.1, abs=0.01)
    model = keeping.load(Path(summary["run_dir"]) / "model.skops")
    assert model.typicality_.judge == "autoencoder"
    raw = pd.read_parquet(Path(summary["run_dir"]) / "clean.parquet")
    assert 1 - model.is_typical(raw).mean() == pytest.approx(summary["untypical_share"])


def test_a_source_may_contain_the_month(
    resegment: Callable[..., Any], csv_of: Callable[..., Path], month_of_600: pd.DataFrame
) -> None:
    path = csv_of(month_of_600, "2025-03.csv")
    template = str(path).replace("2025-03", "{month}")
    summary = json.loads(
        resegment("run", "--source", template, "--month", "2025-03", *PINNED, "--json").stdout
    )
    assert summary["run_id"].startswith("2025-03-")
    assert summary["source"] == str(path)


def test_a_run_knows_the_month_before_by_its_row_count(
    csv_of: Callable[..., Path], month_of_600: pd.DataFrame, tmp_path: Path
) -> None:
    from flows.parameters import SegmentParameters
    from flows.segment import segment

    asked_for = {
        "source": {"uri": str(csv_of(month_of_600))},
        "selection": {"segments": 4, "resamples": 10},
        "plain_rule": {"null_draws": 2},
        "embedding": {"embedding": "none"},
    }
    for rows, name in ((1000, "Completed"), (2000, "Refused")):
        parameters = SegmentParameters.model_validate(asked_for | {"runs": str(tmp_path / name)})
        earlier = draw_month(rows, pd.Period("2026-09", "M"), seed=0).table
        before = csv_of(earlier, f"{name}.csv")
        month_before = {"source": {"uri": str(before)}, "month": "2026-09"}
        segment(SegmentParameters.model_validate(parameters.model_dump() | month_before))
        state = segment(parameters, return_state=True)
        assert state.name == name
    assert "within a factor of 3 of last month's 2,000" in state.message
    warned = [run["gates"]["raw"] for run in manifests(tmp_path) if run["month"] == "2026-10"]
    assert sorted(gate["verdict"] for gate in warned) == ["refuse", "warn"]


def manifests(runs: Path) -> list[dict[str, Any]]:
    return [Run(path.parent, path.parent.name).manifest for path in runs.rglob("manifest.json")]
