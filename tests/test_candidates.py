"""k is found where segments were planted, nothing where none were, and every candidate is told."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from sklearn.metrics import adjusted_rand_score

from expectations.contract import Contract
from expectations.errors import InputError
from tasks import audit, candidates, embedding, reporting, yardsticks
from tasks.audit import audit_sample, possible_ks
from tasks.candidates import select_segments, why_k
from tasks.embedding import SPACES, EmbeddingOptions
from tasks.kmeans import published_kmeans
from tasks.outcome import Outcome
from tasks.plain_rule import PlainRuleOptions
from tasks.report import render_report
from tasks.rule_candidate import RULE, TUNED_RULE
from tasks.scaling import ScalingOptions, scale_customers
from tasks.selection import Choice, SelectionOptions
from tasks.yardsticks import YARDSTICKS, Yardstick
from tests.planted import CONTRACT, ID, contract_of, planted_mixture, planted_segments, unstructured
from tests.test_reporting import manifest as manifest_of

FEW = PlainRuleOptions(null_draws=2, resamples=5)
PLAIN = EmbeddingOptions(embedding="none")


def selected(
    scaled: pd.DataFrame,
    segments: int = 0,
    space: str = "none",
    seed: int = 0,
    contract: Contract | None = None,
    on_progress: Any = None,
    **options: Any,
) -> Outcome:
    """A selection in which the scaled features are also what is to be explained."""
    asked_for = SelectionOptions(segments=segments, **{"resamples": 20, **options})
    spaces = EmbeddingOptions(embedding=space, width=3, networks=1, epochs=2)
    contract = contract or contract_of(*scaled.columns[1:])
    return select_segments(
        scaled, scaled, contract, asked_for, spaces, FEW, seed, on_progress=on_progress
    )


def chosen_line(outcome: Outcome) -> dict[str, Any]:
    (line,) = outcome.table[outcome.table["chosen"]].to_dict("records")
    return line


@pytest.fixture(scope="module")
def eight() -> pd.DataFrame:
    """Eight segments in three features."""
    return planted_segments(90, 85, 80, 75, 70, 65, 60, 55)[0].drop(columns="noise")


@pytest.fixture(scope="module")
def made(eight: pd.DataFrame) -> Outcome:
    return selected(eight)


@pytest.mark.parametrize("k", [3, 5, 9])
@pytest.mark.parametrize("seed", range(3))
def test_planted_mixtures_are_counted_and_their_customers_told_apart(k: int, seed: int) -> None:
    """Also where one customer in twenty has three times the spread. Twenty draws: `make audit`."""
    mixture = planted_mixture(k, seed, log=bool(seed % 2))
    scaled = scale_customers(mixture.clean, mixture.contract, ScalingOptions()).table
    outcome = select_segments(
        scaled, mixture.clean, mixture.contract, SelectionOptions(), PLAIN, FEW, seed
    )
    assert outcome.log["k"] == k, outcome.log["why"]
    X = scaled.drop(columns=ID).to_numpy()
    labels = published_kmeans(X, k, seed, "none").predict(X)
    ordinary = mixture.ordinary
    assert adjusted_rand_score(mixture.truth[ordinary], labels[ordinary]) >= 0.95


@pytest.mark.parametrize("kind", ["permuted", "uniform", "normal"])
@pytest.mark.parametrize("seed", range(3))
def test_without_structure_nothing_is_chosen(kind: str, seed: int) -> None:
    outcome = selected(unstructured(kind, seed, rows=1500), seed=seed, resamples=40)
    assert outcome.log["k"] is None
    assert outcome.log["space"] is None
    assert outcome.log["why"].startswith("no stable segmentation: 3 fails: its weakest segment")
    assert not outcome.table["chosen"].any()
    assert outcome.table["k"].tolist() == list(range(2, 13))  # the curves are there all the same
    assert outcome.learned == {}


def test_the_table_has_one_line_per_candidate_with_every_yardstick(made: Outcome) -> None:
    table = made.table
    assert list(table) == [
        "space", "k", *YARDSTICKS, "inertia_null", "silhouette_null",
        "agreement", "verdict", "chosen",
    ]  # fmt: skip
    assert table["k"].tolist() == list(range(2, 13))
    assert (np.diff(table["inertia"]) < 0).all()
    audited = table["survival"].notna()
    assert table["k"][audited].tolist() == list(range(3, 10))
    assert (table["verdict"] != "")[audited].all()
    assert made.log["k"] == chosen_line(made)["k"] == 8
    assert chosen_line(made)["agreement"] == 1
    assert made.log["metrics"].items() <= chosen_line(made).items()


def test_the_segments_explain_more_than_permuted_columns(made: Outcome) -> None:
    table = made.table.set_index("k")
    assert (np.diff(table["inertia_null"]) < 0).all()
    assert table["silhouette_null"].between(-1, 1).all()
    structured = selected(planted_mixture_scaled()).table.set_index("k")
    assert structured["silhouette"][5] > structured["silhouette_null"][5] + 0.05
    assert structured["inertia"][5] < 0.8 * structured["inertia_null"][5]


def planted_mixture_scaled() -> pd.DataFrame:
    mixture = planted_mixture(5, seed=0, rows=800)
    return scale_customers(mixture.clean, mixture.contract, ScalingOptions()).table


def test_the_audited_partition_is_the_published_one(eight: pd.DataFrame, made: Outcome) -> None:
    kmeans = published_kmeans(eight.drop(columns=ID).to_numpy(), 8, 0, "none")
    assert chosen_line(made)["inertia"] == pytest.approx(kmeans.inertia_, rel=1e-6)


def test_a_k_that_is_asked_for_is_taken_audited_whole_and_judged(eight: pd.DataFrame) -> None:
    outcome = selected(eight, segments=5)
    assert (outcome.log["k"], outcome.log["pinned"]) == (5, True)
    assert outcome.log["why"].startswith("5: as asked for, but the audit would choose 8: the lar")
    assert chosen_line(outcome)["resamples"] == 20  # not given up: its confidence is asked for
    far = selected(eight, segments=40)
    assert far.table["k"].tolist() == [*range(2, 13), 40]
    assert chosen_line(far)["k"] == 40
    assert far.log["elbow"] == outcome.log["elbow"]
    assert far.log["why"].endswith("40: only 3 to 9 are open to the choice")


def test_what_the_audit_thinks_of_a_pinned_number_is_said() -> None:
    by_rule = Choice(7, "7: the largest", {7: "found", 6: "every segment is found again"})
    assert why_k(by_rule, 0) == "7: the largest"
    assert why_k(by_rule, 7) == "7: as asked for, and the audit agrees; 7: the largest"
    assert why_k(by_rule, 6).endswith("choose 7: the largest; 6: every segment is found again")
    nothing = Choice(None, "no stable segmentation: 3 fails: x", {3: "x"})
    found = "3: as asked for, but the audit finds no stable segmentation: 3 fails: x"
    assert why_k(nothing, 3) == found


@pytest.mark.parametrize("space", [name for name in SPACES if name != "none"])
def test_every_space_is_measured_in_the_reference_space_at_the_plain_k(
    space: str, eight: pd.DataFrame, made: Outcome
) -> None:
    outcome = selected(eight, space=space)
    line = chosen_line(outcome)
    assert (line["space"], line["k"], outcome.log["space"]) == (space, 8, space)
    assert line["resamples"] == 20  # of one that is chosen all, though six compare spaces
    assert line["silhouette"] == pytest.approx(chosen_line(made)["silhouette"], abs=0.01)
    words = f"{space}: as asked for (its weakest segment was found again in 20 of 20 resamples"
    assert outcome.log["why_space"].startswith(words)
    transformer = outcome.learned["embedding.skops"]
    assert transformer.transform(eight.drop(columns=ID).to_numpy()).shape == (580, 3)
    assert outcome.learned["confidence.parquet"]["confidence"].between(0, 1).all()


def test_auto_compares_all_spaces_and_keeps_the_plain_one_where_none_is_better(
    eight: pd.DataFrame,
) -> None:
    outcome = selected(eight, space="auto")
    others = [name for name in SPACES if name != "none"]
    assert outcome.table["space"].tolist() == ["none"] * 11 + others
    assert outcome.log["space"] == "none"
    for name in others:
        assert f"{name} is not clearly better" in outcome.log["why_space"]


def test_a_new_space_joins_by_its_name_alone(
    eight: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {**SPACES, "mirrored": SPACES["pca"]}
    for module in (candidates, embedding):
        monkeypatch.setattr(module, "SPACES", more)
    outcome = selected(eight, space="auto")
    assert outcome.table["space"].tolist()[11:] == ["pca", "autoencoder", "mirrored"]


def test_every_space_can_be_asked_for_by_its_name() -> None:
    names = get_args(EmbeddingOptions.model_fields["embedding"].annotation)
    assert names == ("auto", *SPACES)


def test_a_new_yardstick_is_in_table_metrics_and_report_by_one_line(
    eight: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Yardstick("share of the largest", 1, lambda _, p: np.bincount(p.labels).max() / 580)
    monkeypatch.setattr(yardsticks, "YARDSTICKS", {**YARDSTICKS, "largest_share": one})
    outcome = selected(eight)
    assert outcome.table["largest_share"].between(0.1, 1).all()
    assert outcome.log["metrics"]["largest_share"] == pytest.approx(90 / 580)
    lines = reporting.candidate_lines(outcome.table)
    manifest = manifest_of("selection")
    report = render_report(reporting.summarise(manifest, Path("runs/x")), lines)
    assert "share of the largest" in report


def test_the_plain_rule_stands_in_the_table(eight: pd.DataFrame) -> None:
    personas = [
        {"name": a + b, "code": a + b, "when": {"a": {a: 0.2}, "b": {b: -0.2}}}
        for a in ("below", "at_least")
        for b in ("below", "at_least")
    ]
    outcome = selected(eight, contract=contract_of("a", "b", "c", personas=personas))
    lines = outcome.table.set_index("space").loc[[RULE, TUNED_RULE]]
    assert lines["k"].tolist() == [4, 4]  # a half of the eight each
    assert lines["agreement"].between(0.45, 0.65).all()
    assert (lines["survival"] == 1).all()
    assert lines["verdict"].tolist() == ["", outcome.log["plain_rule"]["says"]]
    assert set(outcome.log["plain_rule"]) == {
        "verdict", "says", "lead", "lead_error", "excesses", "tuned",
    }  # fmt: skip
    assert outcome.log["plain_rule"]["tuned"][0].startswith("belowbelow: a below 0.")
    assert selected(eight).log["plain_rule"] is None


@pytest.mark.parametrize(("space", "total"), [("none", 15), ("auto", 17)])
def test_progress_counts_up_to_its_total(space: str, total: int, eight: pd.DataFrame) -> None:
    told: list[tuple[int, int]] = []
    selected(eight, space=space, on_progress=lambda *done: told.append(done))
    assert told == [(done, total) for done in range(1, total + 1)]


def test_progress_is_full_where_nothing_is_stable() -> None:
    told: list[tuple[int, int]] = []
    selected(unstructured("normal", 0, 300), on_progress=lambda *done: told.append(done))
    assert told[-1] == (15, 15)


def test_the_same_seed_gives_the_same_table_and_the_input_stays(
    eight: pd.DataFrame, made: Outcome
) -> None:
    before = eight.copy(deep=True)
    again = selected(eight)
    pd.testing.assert_frame_equal(made.table, again.table)
    pd.testing.assert_frame_equal(eight, before)
    assert made.log == again.log == json.loads(json.dumps(made.log, allow_nan=False))


def test_fewer_customers_than_segments_are_an_error_that_says_so() -> None:
    with pytest.raises(InputError, match=r"7 customers .* into 7 segments\. .*fewer segments"):
        possible_ks(7, 7)
    with pytest.raises(InputError, match=r"2 customers .* into 2 segments\. Send more customers"):
        possible_ks(0, 2)
    assert possible_ks(0, 5) == [2, 3, 4]
    assert possible_ks(20, 400) == [*range(2, 13), 20]


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_a_handful_of_customers_and_doubled_ones_have_a_table() -> None:
    few, _ = planted_segments(2, 2, 1)
    assert selected(few, contract=CONTRACT).table["k"].tolist() == [2, 3, 4]
    X = np.repeat([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]], 20, axis=0)
    doubled = pd.DataFrame(X, columns=["a", "b"])
    doubled.insert(0, ID, [f"K{row}" for row in range(60)])
    assert selected(doubled).log["k"] == 3
    assert selected(doubled, segments=5).log["k"] == 5


# ------------------------------------------------------------------------------ invariances
def partition_of(clean: pd.DataFrame, contract: Contract) -> pd.Series:
    """The segment of each customer, chosen and fitted anew."""
    scaled = scale_customers(clean, contract, ScalingOptions()).table
    few = SelectionOptions(resamples=10)
    outcome = select_segments(scaled, clean, contract, few, PLAIN, FEW, 0)
    X = scaled.drop(columns=ID).to_numpy()
    labels = published_kmeans(X, outcome.log["k"], 0, "none").predict(X)
    return pd.Series(labels, index=clean[ID].str.removeprefix("X"))


CHANGES = {
    "rows in another order": lambda t: t.sample(frac=1, random_state=1, ignore_index=True),
    "columns in another order": lambda t: t[[ID, *t.columns[:0:-1]]],
    "amounts in another unit": lambda t: t.assign(**{c: t[c] * 100 for c in t.columns[1:]}),
    "other ids": lambda t: t.assign(**{ID: "X" + t[ID]}),
    "rows doubled under new ids": lambda t: pd.concat(
        [t, t.assign(**{ID: "Z" + t[ID]})], ignore_index=True
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@settings(max_examples=2, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10_000))
def test_the_partition_does_not_hang_on(change: str, seed: int) -> None:
    mixture = planted_mixture(4, seed, log=True, rows=600, outliers=0)
    centres = mixture.clean.drop(columns=ID).apply(np.log).groupby(mixture.truth).mean() / 0.3
    assume(pdist(centres).min() > 6)  # well separated
    changed = CHANGES[change](mixture.clean)
    contract = contract_of(*changed.columns[1:], kind="money")
    features = scale_customers(changed, contract, ScalingOptions()).log["features"]
    assume(len(features) == 8)  # of two twins the order decides which stays
    before, after = partition_of(mixture.clean, mixture.contract), partition_of(changed, contract)
    assert before.nunique() == 4
    assert adjusted_rand_score(before, after.loc[before.index]) >= 0.995


# ------------------------------------------------------------------------------ large tables
def test_a_sample_keeps_the_share_of_a_small_segment() -> None:
    scaled, truth = planted_segments(20_000, 9000, 100)
    X = scaled.drop(columns=ID).to_numpy()
    for seed in range(3):
        rows = audit_sample(X, 1000, seed)
        assert len(np.unique(rows)) == 1000
        share = np.bincount(truth[rows]) / 1000
        assert share == pytest.approx(np.bincount(truth) / len(X), abs=0.004)
    assert audit_sample(X, 40_000, 0).tolist() == list(range(len(X)))
    assert audit_sample(X, 1000, 0).tolist() != audit_sample(X, 1000, 1).tolist()


def test_a_large_table_is_audited_on_a_sample_and_says_so(
    monkeypatch: pytest.MonkeyPatch, eight: pd.DataFrame
) -> None:
    fitted: list[int] = []
    original = audit.published_kmeans

    def watched(Z: np.ndarray, *more: Any) -> Any:
        fitted.append(len(Z))
        return original(Z, *more)

    monkeypatch.setattr(audit, "published_kmeans", watched)
    outcome = selected(eight, audit_rows=400)
    assert set(fitted) == {400}
    assert outcome.log["audited"] == 400
    assert outcome.log["k"] == 8
    assert 0 < chosen_line(outcome)["silhouette_error"] < 0.05
