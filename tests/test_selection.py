"""k is found where segments were planted, and every candidate is told."""

import json

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from expectations.errors import InputError
from expectations.rules import Limits, selection_rules
from tasks import selection
from tasks.embedding import EmbeddingOptions
from tasks.outcome import Outcome
from tasks.selection import SelectionOptions, choose_k, elbow, select_segments
from tests.planted import ID, planted_segments

YARDSTICKS = ["inertia", "silhouette", "silhouette_own", "davies_bouldin", "calinski_harabasz"]


def selected(
    scaled: pd.DataFrame,
    segments: int = 0,
    embedding: str = "none",
    seed: int = 0,
    **settings: object,
) -> Outcome:
    options = EmbeddingOptions(embedding=embedding, width=3, networks=1, epochs=2)
    return select_segments(
        scaled, ID, SelectionOptions(segments=segments), options, 0.05, seed, **settings
    )


def candidates(silhouettes: dict[int, float], smallest: dict[int, float] | float) -> pd.DataFrame:
    """Lines whose inertia falls as 1 / k: on 2 to 12 the elbow is 5."""
    ks = list(silhouettes)
    shares = [smallest if isinstance(smallest, float) else smallest[k] for k in ks]
    return pd.DataFrame(
        {
            "k": ks,
            "inertia": [1 / k for k in ks],
            "silhouette": silhouettes.values(),
            "smallest_share": shares,
        }
    )


FALLING = {k: 0.9 - 0.05 * k for k in range(2, 13)}


@pytest.fixture(scope="module")
def three() -> pd.DataFrame:
    return planted_segments(100, 80, 60)[0]


@pytest.mark.parametrize(
    "sizes", [(150, 120, 90), (90, 80, 70, 60, 50), (70, 65, 60, 55, 50, 45, 40)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_segments_are_counted(sizes: tuple[int, ...], seed: int) -> None:
    scaled, _ = planted_segments(*sizes, seed=seed)
    outcome = selected(scaled, seed=seed)
    assert outcome.log["k"] == len(sizes)
    (chosen,) = outcome.table[outcome.table["chosen"]].to_dict("records")
    assert (chosen["k"], chosen["space"]) == (len(sizes), "none")
    assert chosen["smallest_share"] == min(sizes) / sum(sizes)
    assert outcome.log["why"].startswith(f"{len(sizes)}: the best silhouette")
    assert outcome.log["pinned"] is False


def test_the_table_has_one_line_per_candidate(three: pd.DataFrame) -> None:
    table = selected(three).table
    assert list(table) == ["space", "k", *YARDSTICKS, "smallest_share", "chosen"]
    assert table["k"].tolist() == list(range(2, 13))
    assert (np.diff(table["inertia"]) < 0).all()
    assert np.isfinite(table[YARDSTICKS]).all(axis=None)
    assert table["chosen"].sum() == 1


def test_inertia_is_that_of_the_planted_segments(three: pd.DataFrame) -> None:
    scaled, truth = planted_segments(100, 80, 60)
    X = scaled.drop(columns=ID)
    within = (X - X.groupby(truth).transform("mean")).pow(2).to_numpy().sum()
    assert selected(three).table.set_index("k")["inertia"][3] == pytest.approx(within)


def test_a_k_that_is_asked_for_is_taken_and_said(three: pd.DataFrame) -> None:
    outcome = selected(three, segments=4)
    assert outcome.log["k"] == 4
    assert outcome.log["pinned"] is True
    assert "as asked for" in outcome.log["why"]
    assert outcome.table.loc[outcome.table["chosen"], "k"].tolist() == [4]


def test_a_k_beyond_the_curve_is_measured_too_and_does_not_move_the_elbow(
    three: pd.DataFrame,
) -> None:
    outcome = selected(three, segments=40)
    assert outcome.table["k"].tolist() == [*range(2, 13), 40]
    assert outcome.table.loc[outcome.table["chosen"], "k"].tolist() == [40]
    assert outcome.log["elbow"] == selected(three).log["elbow"] == 3
    one_cloud, _ = planted_segments(300, spread=3)
    far = selected(one_cloud, segments=40)
    assert far.log["elbow"] == selected(one_cloud).log["elbow"] < elbow(far.table)


def test_the_other_space_stands_beside_the_plain_one(three: pd.DataFrame) -> None:
    outcome = selected(three, embedding="pca")
    *plain, other = outcome.table.to_dict("records")
    assert {line["space"] for line in plain} == {"none"}
    assert not any(line["chosen"] for line in plain)
    assert (other["space"], other["k"], other["chosen"]) == ("pca", 3, True)
    assert other["silhouette_own"] > other["silhouette"] + 0.01  # one noisy column less
    (same_k,) = (line for line in plain if line["k"] == 3)
    assert other["silhouette"] == pytest.approx(same_k["silhouette"])
    transformer = outcome.learned["embedding.skops"]
    assert transformer.transform(three.drop(columns=ID).to_numpy()).shape == (240, 3)


def test_auto_is_the_plain_space(three: pd.DataFrame) -> None:
    assert selected(three, embedding="auto").log["space"] == "none"


@pytest.mark.parametrize(("space", "total"), [("none", 11), ("pca", 11), ("autoencoder", 13)])
def test_progress_counts_up_to_its_total(space: str, total: int, three: pd.DataFrame) -> None:
    told: list[tuple[int, int]] = []
    selected(three, embedding=space, on_progress=lambda *done: told.append(done))
    assert told == [(done, total) for done in range(1, total + 1)]


def test_a_network_that_ends_early_fills_the_bar(
    three: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def after_one_epoch(name: str, X: np.ndarray, *_: object, on_epoch: object) -> object:
        on_epoch(1, 0.5, 0.5)
        return fit_space("none", X, EmbeddingOptions(), 0)

    fit_space = selection.fit_space
    monkeypatch.setattr(selection, "fit_space", after_one_epoch)
    told: list[tuple[int, int]] = []
    selected(three, embedding="autoencoder", on_progress=lambda *done: told.append(done))
    assert told[-2:] == [(12, 13), (13, 13)]


def test_the_same_seed_gives_the_same_table_and_the_input_stays(three: pd.DataFrame) -> None:
    before = three.copy(deep=True)
    first, second = selected(three, seed=3), selected(three, seed=3)
    pd.testing.assert_frame_equal(first.table, second.table)
    pd.testing.assert_frame_equal(three, before)
    assert first.log == second.log == json.loads(json.dumps(first.log, allow_nan=False))


def test_fewer_customers_than_segments_are_an_error_that_says_so() -> None:
    scaled, _ = planted_segments(4, 3)
    with pytest.raises(InputError, match=r"7 customers .* into 7 segments\. .*fewer segments"):
        selected(scaled, segments=7)
    with pytest.raises(InputError, match=r"2 customers .* into 2 segments\. Send more customers"):
        selected(scaled[:2])


def test_a_handful_of_customers_has_a_short_curve() -> None:
    scaled, _ = planted_segments(2, 2, 1)
    outcome = selected(scaled)
    assert outcome.table["k"].tolist() == [2, 3, 4]
    assert selected(scaled[:3]).table["k"].tolist() == [2]


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_more_segments_than_distinct_customers_are_not_chosen() -> None:
    X = np.repeat([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]], 20, axis=0)
    scaled = pd.DataFrame(X, columns=["a", "b"])
    scaled.insert(0, ID, [f"K{row}" for row in range(60)])
    table = selected(scaled).table.set_index("k")
    assert table["smallest_share"][3] == pytest.approx(1 / 3)
    assert (table["smallest_share"].loc[4:] == 0).all()
    assert table["chosen"][3]


def test_the_best_silhouette_at_or_above_the_elbow_is_chosen() -> None:
    k, why = choose_k(candidates(FALLING, 0.1), 0.05)
    assert k == 5
    assert "(0.650) at or above the elbow (k = 5) with a smallest segment of 10.0%" in why
    assert choose_k(candidates({**FALLING, 7: 0.66}, 0.1), 0.05)[0] == 7


def test_k_of_the_curves_ends_is_never_chosen() -> None:
    spiked = {**FALLING, 2: 0.99, 10: 0.98, 12: 0.99}
    assert choose_k(candidates(spiked, 0.1), 0.05)[0] == 5


def test_a_candidate_with_too_small_a_segment_is_passed_over() -> None:
    shares = dict.fromkeys(FALLING, 0.2) | {5: 0.049, 6: 0.05}
    assert choose_k(candidates(FALLING, shares), 0.05)[0] == 6
    assert choose_k(candidates(FALLING, shares), 0.04)[0] == 5


def test_below_the_elbow_is_better_than_too_small_a_segment_and_said() -> None:
    shares = dict.fromkeys(FALLING, 0.01) | {3: 0.2, 4: 0.1}
    k, why = choose_k(candidates(FALLING, shares), 0.05)
    assert k == 3
    assert "too small a segment) below the elbow (k = 5)" in why


def test_without_an_admissible_candidate_the_nearest_is_shown_and_the_gate_refuses_it() -> None:
    shares = dict.fromkeys(FALLING, 0.01) | {2: 0.4, 4: 0.03, 12: 0.2}
    lines = candidates(FALLING, shares)
    k, why = choose_k(lines, 0.05)
    assert k == 4
    assert "no k in 3 to 9 has a smallest segment of 5% or more" in why
    smallest = next(
        rule for rule in selection_rules(Limits(), 0) if rule.id == "chosen.smallest_share"
    )
    assert smallest.severity == "refuse"
    assert not smallest.holds(lines.assign(chosen=lines["k"] == k))


@pytest.mark.parametrize("kink", [3, 6, 11])
def test_the_elbow_is_where_a_curve_bends(kink: int) -> None:
    k = np.arange(2, 13)
    inertia = np.where(k < kink, 100 * (kink - k), 0) + 5 * (12 - k)
    bent = pd.DataFrame({"k": k, "inertia": inertia})
    assert elbow(bent) == kink
    assert elbow(bent.sample(frac=1, random_state=0)) == kink
    assert elbow(bent.assign(inertia=7e6 * bent["inertia"] + 1e9)) == kink


def test_the_elbow_of_a_hyperbola_is_where_its_slope_is_that_of_the_chord() -> None:
    """1 / k on 2 to 12: slope -1 / k**2 is (1/12 - 1/2) / 10 at the square root of 24."""
    assert elbow(candidates(FALLING, 0.1)) == round(24**0.5)


def test_a_curve_that_cannot_bend_has_its_elbow_at_its_first_k() -> None:
    k = np.arange(2, 13)
    assert elbow(pd.DataFrame({"k": k, "inertia": 0.0})) == 2
    assert elbow(pd.DataFrame({"k": k[:2], "inertia": [9.0, 1.0]})) == 2


def test_one_segment_is_no_segmentation() -> None:
    with pytest.raises(ValidationError, match="give 2 or more, or 0 to choose"):
        SelectionOptions(segments=1)
