"""The two rules do what their words say, at their thresholds and on both sides of them."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from tasks.selection import SelectionOptions, SpaceFigures, choose_k, choose_space, elbow

OPTIONS = SelectionOptions()


def curve() -> pd.DataFrame:
    """Inertia falls as 1 / k."""
    k = np.arange(2, 13)
    return pd.DataFrame({"k": k, "inertia": 1 / k})


def audited(**by_k: dict[int, float]) -> pd.DataFrame:
    """K = 2 to 12, every segment of 3 to 9 found again; then what is said otherwise."""
    k = np.arange(2, 13)
    stable = {"survival": 1.0, "resamples": 40.0, "bootstrap_ari": 0.97, "smallest_share": 0.1}
    table = pd.DataFrame({"k": k, "silhouette": 0.25, **stable}).set_index("k")
    table.loc[[2, 10, 11, 12], ["survival", "resamples", "bootstrap_ari"]] = np.nan
    for name, values in by_k.items():
        for at, value in values.items():
            table.loc[at, name] = value
    return table.reset_index()


def test_the_largest_k_of_which_every_segment_is_found_again_is_chosen() -> None:
    chosen, why, verdicts = choose_k(audited(survival={8: 0.6, 9: 0.4}, resamples={8: 10}), OPTIONS)
    assert chosen == 7
    assert why == (
        "7: the largest k of which every segment is found again (the weakest in 40 of 40 "
        "resamples, bootstrap ARI 0.970); 8 fails: its weakest segment was found again in 6 of 10 "
        "resamples, then stopped; 9 fails: its weakest segment was found again in 16 of 40 "
        "resamples"
    )
    assert verdicts[7] == "every segment is found again"
    assert verdicts[8].endswith("then stopped")
    assert set(verdicts) == set(range(3, 10))


def test_without_a_failure_it_is_9_and_never_a_k_of_the_curves_ends() -> None:
    table = audited(survival={2: 1, 10: 1, 12: 1}, silhouette={2: 0.9, 10: 0.9, 12: 0.9})
    assert choose_k(table, OPTIONS).chosen == 9
    assert choose_k(table, OPTIONS).why.endswith("bootstrap ARI 0.970)")


@pytest.mark.parametrize(
    ("name", "holds", "fails", "word"),
    [
        ("survival", 0.9, 0.899, "found again in 36 of 40 resamples"),
        ("bootstrap_ari", 0.9, 0.899, "bootstrap ARI is 0.899"),
        ("smallest_share", 0.05, 0.049, "smallest segment holds 4.9%"),
        ("silhouette", 0.225, 0.224, "below 90% of the best one's, 0.250 at k = 3"),
    ],
)
def test_each_threshold_may_be_met_and_not_missed(
    name: str, holds: float, fails: float, word: str
) -> None:
    assert choose_k(audited(**{name: {9: holds}}), OPTIONS).chosen == 9
    missed = choose_k(audited(**{name: {9: fails}}), OPTIONS)
    assert missed.chosen == 8
    assert word in missed.verdicts[9]
    assert f"9 fails: {missed.verdicts[9]}" in missed.why


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("survival", "min_survival"),
        ("bootstrap_ari", "min_bootstrap_ari"),
        ("smallest_share", "min_smallest_share"),
    ],
)
def test_thresholds_are_parameters(name: str, option: str) -> None:
    table = audited(**{name: {9: 0.04}})
    assert choose_k(table, OPTIONS).chosen == 8
    assert choose_k(table, SelectionOptions(**{option: 0.03})).chosen == 9


def test_the_silhouette_is_held_against_admissible_ones_only() -> None:
    brilliant = audited(silhouette={3: 0.9}, survival={3: 0.5})
    assert choose_k(brilliant, OPTIONS).chosen == 9
    assert choose_k(audited(silhouette={3: 0.9}), OPTIONS).chosen == 3
    assert (
        choose_k(audited(silhouette={3: 0.9}), SelectionOptions(min_silhouette_ratio=0)).chosen == 9
    )


def test_silhouettes_below_0_do_not_refuse_the_best_of_them() -> None:
    below = dict.fromkeys(range(3, 10), -0.1)
    assert choose_k(audited(silhouette=below), OPTIONS).chosen == 9
    assert choose_k(audited(silhouette=below | {9: -0.12}), OPTIONS).chosen == 8


def test_where_nothing_is_stable_nothing_is_chosen_and_every_reason_told() -> None:
    table = audited(survival=dict.fromkeys(range(3, 10), 0.5))
    chosen, why, verdicts = choose_k(table, OPTIONS)
    assert chosen is None
    assert why.startswith("no stable segmentation: 3 fails: its weakest segment was found again")
    assert all(f"{k} fails: {verdicts[k]}" in why for k in range(3, 10))


def test_a_k_may_fail_as_often_as_its_share_allows() -> None:
    assert OPTIONS.may_fail == 4  # of 40: with the fifth it has surely failed
    assert SelectionOptions(resamples=10).may_fail == 1
    assert SelectionOptions(resamples=30, min_survival=0.95).may_fail == 1
    assert SelectionOptions(min_survival=1).may_fail == 0


# --------------------------------------------------------------------------------------- spaces
WOBBLE = np.array([0.003, -0.003, 0.002, -0.002, 0.001, -0.001])


def space(ari: float, eta: float, wobble: float = 1) -> SpaceFigures:
    """Six resamples that differ a little, in the same way in every space; `wobble` in its own."""
    shared = np.array([0.01, -0.02, 0.0, 0.01, -0.01, 0.01])
    return SpaceFigures(ari + shared + wobble * WOBBLE, eta + shared - wobble * WOBBLE)


def chosen_among(**others: SpaceFigures) -> str:
    return choose_space({"none": space(0.96, 0.52, 0), **others}, OPTIONS).chosen


@pytest.mark.parametrize(
    ("ari", "eta", "wins"),
    [
        (0.96, 0.52, False),  # a tie goes to the simpler
        (0.9649, 0.5249, False),
        (0.966, 0.52, True),
        (0.96, 0.526, True),
        (0.951, 0.526, True),
        (0.949, 0.60, False),
        (0.966, 0.511, True),
        (0.99, 0.509, False),
    ],
)
def test_a_space_wins_that_loses_nothing_and_gains_something(
    ari: float, eta: float, wins: bool
) -> None:
    assert chosen_among(pca=space(ari, eta)) == ("pca" if wins else "none")


def test_a_gain_within_two_standard_errors_is_none() -> None:
    assert chosen_among(pca=space(0.97, 0.52)) == "pca"
    assert chosen_among(pca=space(0.97, 0.52, wobble=6)) == "none"


def test_the_resamples_are_compared_in_pairs() -> None:
    """The spread that two spaces share does not hide what one gains."""
    shared = np.array([0.2, -0.2, 0.1, -0.1, 0.15, -0.15])
    plain = SpaceFigures(0.7 + shared, np.full(6, 0.5))
    better = SpaceFigures(plain.ari + 0.01 + WOBBLE, plain.eta_squared)
    assert choose_space({"none": plain, "pca": better}, OPTIONS).chosen == "pca"
    unpaired = SpaceFigures(better.ari[::-1], better.eta_squared)
    assert choose_space({"none": plain, "pca": unpaired}, OPTIONS).chosen == "none"


def test_of_two_that_win_the_simpler_does_unless_the_other_is_clearly_better_still() -> None:
    assert chosen_among(pca=space(0.97, 0.52), autoencoder=space(0.972, 0.52)) == "pca"
    assert chosen_among(pca=space(0.97, 0.52), autoencoder=space(0.98, 0.52)) == "autoencoder"


def test_what_loses_too_much_against_the_best_so_far_does_not_win_by_something_else() -> None:
    table = {"none": space(0.90, 0.50, 0), "pca": space(0.96, 0.50), "net": space(0.895, 0.507)}
    chosen, why, verdicts = choose_space(table, OPTIONS)
    assert chosen == "pca"
    assert verdicts["net"] == (
        "net loses too much (-0.065 in stability, +0.007 in eta squared, against pca)"
    )
    assert why.startswith("pca: against none (stability 0.900")


def test_standard_errors_are_those_of_a_sample() -> None:
    """Two of them lie between .0058 (of six as a population) and .0064: no clear gain of .006."""
    wobble = np.array([1, -1, 1, -1, 1, -1]) * 0.0072
    plain = SpaceFigures(np.full(6, 0.9), np.full(6, 0.5))
    better = SpaceFigures(plain.ari + 0.0061 + wobble, plain.eta_squared)
    assert choose_space({"none": plain, "pca": better}, OPTIONS).chosen == "none"


def test_the_words_name_every_space_and_its_figures() -> None:
    plain = space(0.96, 0.52, 0)
    told = choose_space(
        {"none": plain, "pca": space(0.93, 0.52), "net": space(0.97, 0.52)}, OPTIONS
    )
    assert told.why == (
        "net: against none (stability 0.960, eta squared of those left out 0.520), on the same 6 "
        "resamples, pca loses too much (-0.030 in stability, "
        "+0.000 in eta squared); net is clearly better (+0.010 in stability, +0.000 in eta squared)"
    )
    assert set(told.verdicts) == {"pca", "net"}
    assert choose_space({"none": plain}, OPTIONS).chosen == "none"


# ---------------------------------------------------------------------------------------- elbow
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
    assert elbow(curve()) == round(24**0.5)


def test_a_curve_that_cannot_bend_has_its_elbow_at_its_first_k() -> None:
    k = np.arange(2, 13)
    assert elbow(pd.DataFrame({"k": k, "inertia": 0.0})) == 2
    assert elbow(pd.DataFrame({"k": k[:2], "inertia": [9.0, 1.0]})) == 2


def test_one_segment_is_no_segmentation() -> None:
    with pytest.raises(ValidationError, match="give 2 or more, or 0 to choose"):
        SelectionOptions(segments=1)
