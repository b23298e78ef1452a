"""The plain rule is told where customers follow it, K-means where they do not."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, confusion_matrix

from expectations.contract import Contract
from expectations.parts import Persona
from tasks.cleaning import clean_customers
from tasks.fetching import fetch
from tasks.ingestion import SourceOptions, read_customers
from tasks.kmeans import fit_kmeans
from tasks.personas import first_match, free_cutoffs
from tasks.plain_rule import (
    Estimate,
    PlainRule,
    PlainRuleOptions,
    decide,
    judge_plain_rule,
    mean_eta,
    measure_excesses,
    measure_lead,
    say,
    tune_cutoffs,
)
from tasks.redrawing import NULLS, correlations, redraw_like, redraw_within
from tests.worlds import GEOMETRIC_WORLDS, RULE_WORLDS, World, as_personas, customer_world

OPTIONS = PlainRuleOptions()
THREE_OF_EACH = [*list(RULE_WORLDS)[0:9:4], *list(GEOMETRIC_WORLDS)[1:8:3]]


def excess_of(X: np.ndarray, groups: np.ndarray, k: int, draws: int, seed: int) -> Estimate:
    """Over the null whose correlations are those of the table."""
    return measure_excesses(X, groups, k, draws, seed)[list(NULLS).index("correlations matched")]


def judge(world: World, seed: int = 0, labels: np.ndarray | None = None, **given: Any) -> PlainRule:
    found = judge_plain_rule(
        world.table,
        world.personas,
        world.X,
        world.columns,
        world.kmeans() if labels is None else labels,
        world.k,
        PlainRuleOptions(**given),
        seed,
    )
    assert found is not None
    return found


@pytest.fixture(scope="module")
def rule_world() -> World:
    return RULE_WORLDS[list(RULE_WORLDS)[1]]()


@pytest.fixture(scope="module")
def card_world() -> World:
    return RULE_WORLDS[list(RULE_WORLDS)[5]]()


@pytest.fixture(scope="module")
def reference(reference_csv: Path, ccdata: Contract) -> World:
    raw = read_customers(fetch(str(reference_csv)), ccdata, SourceOptions()).table
    return customer_world(clean_customers(raw, ccdata).table, ccdata, k=7)


@pytest.mark.parametrize("name", THREE_OF_EACH)
def test_planted_worlds_are_told_rightly(name: str) -> None:
    found = judge({**RULE_WORLDS, **GEOMETRIC_WORLDS}[name]())
    assert found.verdict == ("rule" if name in RULE_WORLDS else "K-means")
    assert found.lead > 2 * found.lead_error  # K-means leads in the rule worlds too
    assert found.says.startswith(found.verdict)


def test_with_careless_cutoffs_a_rule_world_looks_geometric(rule_world: World) -> None:
    written = first_match(rule_world.table, rule_world.personas)
    tuned = judge(rule_world).tuned_labels
    careless = excess_of(rule_world.X, written, rule_world.k, 5, 0)
    careful = excess_of(rule_world.X, tuned, rule_world.k, 5, 0)
    assert careless.value > 0.04
    assert careful.value < 0.01


def test_tuning_finds_the_planted_groups(rule_world: World) -> None:
    tuned = tune_cutoffs(rule_world.table, rule_world.personas, rule_world.columns)
    written = first_match(rule_world.table, rule_world.personas)
    assert adjusted_rand_score(rule_world.truth, written) < 0.7
    found = first_match(rule_world.table, tuned)
    assert adjusted_rand_score(rule_world.truth, found) > 0.95
    assert mean_eta(rule_world.columns, found) > mean_eta(rule_world.columns, written)


def test_tuning_moves_cutoffs_only_and_leaves_those_at_0(card_world: World) -> None:
    tuned = tune_cutoffs(card_world.table, card_world.personas, card_world.columns)
    at_zero = [bounds_at_zero(persona) for persona in card_world.personas]
    assert sum(at_zero) > 0
    assert [bounds_at_zero(persona) for persona in tuned] == at_zero
    for before, after in zip(card_world.personas, tuned, strict=True):
        assert before.model_dump(exclude={"when"}) == after.model_dump(exclude={"when"})
        assert list(before.when) == list(after.when)
    assert tuned != card_world.personas


def bounds_at_zero(persona: Persona) -> int:
    return sum(0 in condition.model_dump().values() for condition in persona.when.values())


def test_a_cutoff_that_cannot_be_bettered_stays_as_written() -> None:
    x = np.concatenate([np.linspace(1, 10, 50), np.linspace(20, 30, 50)])
    written = as_personas([{"x": {"below": 15}}, {}])
    columns = (x > 15).astype(float)[:, None]
    assert tune_cutoffs(pd.DataFrame({"x": x}), written, columns) == written


def test_tuning_does_not_depend_on_the_order_of_rows(rule_world: World) -> None:
    order = np.random.default_rng(0).permutation(len(rule_world.table))
    tuned = tune_cutoffs(rule_world.table, rule_world.personas, rule_world.columns)
    mixed = rule_world.table.iloc[order]
    assert tune_cutoffs(mixed, rule_world.personas, rule_world.columns[order]) == tuned


def test_tuning_does_not_depend_on_the_unit(rule_world: World) -> None:
    inflated = as_personas(
        [
            {
                name: {bound: 128 * value for bound, value in condition if value is not None}
                for name, condition in persona.when.items()
            }
            for persona in rule_world.personas
        ]
    )
    tuned = tune_cutoffs(rule_world.table, rule_world.personas, rule_world.columns)
    scaled = tune_cutoffs(128 * rule_world.table, inflated, rule_world.columns)
    expected = [(column, 128 * value) for column, value in free_cutoffs(tuned)]
    assert free_cutoffs(scaled) == expected


def test_one_seed_gives_one_answer_and_another_nearly_the_same(rule_world: World) -> None:
    first, again, other = (judge(rule_world, seed, null_draws=5) for seed in (0, 0, 1))
    assert first[:8] == again[:8]
    assert (
        abs(first.excesses[0].value - other.excesses[0].value) > 1e-6
    )  # other null tables, not rounding alone
    assert first.lead == other.lead
    assert first.lead_error != other.lead_error
    assert first.excesses[0].value == pytest.approx(other.excesses[0].value, abs=0.004)


def test_the_order_of_rows_hardly_matters(card_world: World) -> None:
    order = np.random.default_rng(1).permutation(len(card_world.table))
    mixed = card_world._replace(
        table=card_world.table.iloc[order],
        X=card_world.X[order],
        columns=card_world.columns[order],
    )
    labels = card_world.kmeans()
    found = judge(card_world, labels=labels, null_draws=10)
    again = judge(mixed, labels=labels[order], null_draws=10)
    np.testing.assert_array_equal(found.tuned_labels[order], again.tuned_labels)
    assert found.verdict == again.verdict
    assert found.lead == pytest.approx(again.lead)
    assert found.excesses[0].value == pytest.approx(
        again.excesses[0].value, abs=2 * found.excesses[0].error
    )


def test_a_lead_by_hand_and_its_error_against_another_formula() -> None:
    """One column of 0 and 1 with noise: the labels know it, the rule knows nothing."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    column = labels + rng.normal(0, 1, 400)
    found = measure_lead(column[:, None], labels, np.zeros(400, dtype=int), 400, 0)
    r = np.corrcoef(labels, column)[0, 1]
    assert found.value == pytest.approx(r**2)
    by_delta = 2 * r * (1 - r**2) / np.sqrt(400)  # of a squared correlation
    assert found.error == pytest.approx(by_delta, rel=0.25)


def test_redrawn_customers_keep_each_groups_values_and_correlations(card_world: World) -> None:
    X, groups = card_world.X, card_world.truth
    null = redraw_within(X, groups, redraw_like, np.random.default_rng(0))
    for group in np.unique(groups):
        own, redrawn = X[groups == group], null[groups == group]
        np.testing.assert_array_equal(np.sort(own, axis=0), np.sort(redrawn, axis=0))
        missed = correlations(own) - correlations(redrawn)
        assert np.sqrt(np.square(missed).mean()) < 0.025
        assert (own != redrawn).any(axis=1).mean() > 0.9


def test_redrawing_leaves_no_structure_within_a_group() -> None:
    rng = np.random.default_rng(0)
    X = np.repeat([[0.0, 0], [4, 0], [2, 3]], 300, axis=0) + rng.normal(0, 0.3, (900, 2))
    one_group = np.zeros(900, dtype=int)
    assert excess_of(X, one_group, 3, 5, 0).value > 0.5
    null = redraw_within(X, one_group, redraw_like, rng)
    assert abs(excess_of(null, one_group, 3, 5, 0).value) < 0.05


def test_a_table_without_structure_beyond_its_groups_has_no_excess(card_world: World) -> None:
    """Also where many values are equal: weakened correlations would show as an excess of 1 %."""
    for seed in range(2):
        null = redraw_within(
            card_world.X, card_world.truth, redraw_like, np.random.default_rng(100 + seed)
        )
        found = excess_of(null, card_world.truth, card_world.k, 10, 0)
        assert abs(found.value) < 3 * found.error
        assert found.error < 0.005


def test_constant_columns_and_groups_of_one_or_two_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=40), np.full(40, 3.0), rng.normal(size=40)])
    groups = np.array([0] * 37 + [1] + [2] * 2)
    null = redraw_within(X, groups, redraw_like, rng)
    np.testing.assert_array_equal(null[37:], X[37:])
    np.testing.assert_array_equal(null[:, 1], X[:, 1])
    assert (null[:37, 0] != X[:37, 0]).any()


@pytest.mark.parametrize("n", [3, 5, 9])
def test_a_group_with_fewer_customers_than_columns_is_redrawn(n: int) -> None:
    X = np.random.default_rng(0).normal(size=(n, 8))
    null = redraw_within(X, np.zeros(n, dtype=int), redraw_like, np.random.default_rng(1))
    np.testing.assert_array_equal(np.sort(null, axis=0), np.sort(X, axis=0))


@pytest.mark.parametrize(
    ("lead", "excess", "verdict"),
    [
        ((0.05, 0.01), (0.1, 0.005), "K-means"),
        ((0.05, 0.01), (0.0301, 0.005), "K-means"),
        ((0.05, 0.01), (0.0299, 0.005), "undecided"),
        ((0.05, 0.01), (0.0101, 0.005), "undecided"),
        ((0.05, 0.01), (0.0099, 0.005), "rule"),
        ((0.05, 0.01), (-0.1, 0.005), "rule"),
        ((0.0201, 0.01), (0.1, 0.005), "K-means"),
        ((0.0199, 0.01), (0.1, 0.005), "rule"),
        ((-0.05, 0.01), (0.1, 0.005), "rule"),
        ((0.0, 0.0), (0.0, 0.0), "rule"),
    ],
)
def test_the_verdict(lead: tuple[float, float], excess: tuple[float, float], verdict: str) -> None:
    assert decide(Estimate(*lead), [Estimate(*excess)] * 2, OPTIONS) == verdict


def test_the_thresholds_are_the_options() -> None:
    lead, excess = Estimate(0.05, 0.01), Estimate(0.04, 0.005)
    assert decide(lead, [excess] * 2, PlainRuleOptions(min_excess=0.1)) == "rule"
    assert decide(lead, [excess] * 2, PlainRuleOptions(n_errors=4)) == "undecided"
    assert decide(lead, [excess] * 2, PlainRuleOptions(n_errors=5)) == "rule"


def test_the_words_say_what_was_measured_and_what_was_asked() -> None:
    lead, excess = Estimate(0.031, 0.0015), Estimate(0.021, 0.002)
    assert say("undecided", lead, [excess], 0.487, OPTIONS) == (
        "undecided: K-means explains 3.1 points (±0.1) more of the columns' variance than the "
        "rule with tuned cutoffs (.487), but its segments are only 2.1 % (±0.2) tighter than "
        "chance would make them within the rule's groups, by 1 ways to draw chance; "
        "2 % is asked for"
    )
    both = say("K-means", lead, [excess, Estimate(0.03, 0.001)], 0.487, OPTIONS)
    assert "and its segments are 2.1 % (±0.2) to 3.0 % (±0.1) tighter" in both


def test_a_verdict_does_not_hang_on_the_way_chance_was_drawn() -> None:
    lead, low, high = Estimate(0.05, 0.01), Estimate(0.008, 0.001), Estimate(0.03, 0.001)
    assert decide(lead, [low, low], OPTIONS) == "rule"
    assert decide(lead, [high, high], OPTIONS) == "K-means"
    assert decide(lead, [low, high], OPTIONS) == "undecided"
    for error, verdict in ((0.0019, "rule"), (0.0021, "undecided")):
        assert decide(lead, [low, Estimate(0.018, error)], OPTIONS) == verdict


def test_the_words_for_no_lead() -> None:
    said = say("rule", Estimate(-0.012, 0.007), [Estimate(0.1, 0.01)], 0.487, OPTIONS)
    assert said == (
        "rule: K-means explains 1.2 points (±0.7) less of the columns' variance than the rule "
        "with tuned cutoffs (.487), which is no clear lead"
    )


def test_without_personas_there_is_no_rule_to_judge(rule_world: World) -> None:
    truth = rule_world.truth
    none = judge_plain_rule(
        rule_world.table, (), rule_world.X, rule_world.columns, truth, 4, OPTIONS, 0
    )
    assert none is None


@pytest.mark.parametrize("pattern", [{}, {"one": {"above": 0.5}}, {"one": {"below": 0.5}}])
def test_a_rule_of_one_group_only(pattern: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    X = np.repeat([[0.0, 0], [4, 0], [2, 3]], 50, axis=0) + rng.normal(0, 0.3, (150, 2))
    labels = np.repeat([0, 1, 2], 50)
    table = pd.DataFrame({"one": np.ones(150)})
    found = judge(World(table, as_personas([pattern]), X, X, labels, 3), labels=labels)
    assert len(np.unique(found.tuned_labels)) == 1
    assert found.eta_tuned == pytest.approx(0)
    assert found.verdict == "K-means"


def test_two_customers_are_judged() -> None:
    table = pd.DataFrame({"x": [1.0, 2.0]})
    X = np.array([[-1.0, 0], [1, 0]])
    world = World(table, as_personas([{"x": {"below": 2}}, {}]), X, X, np.array([0, 1]), 2)
    found = judge(world, labels=world.truth)
    assert found.verdict == "rule"
    assert (found.lead, found.excesses[0].value, found.excesses[0].error) == (0, 0, 0)


def test_the_reference_table_and_its_rule(reference: World) -> None:
    found = first_match(reference.table, reference.personas)
    labels = fit_kmeans(reference.X, 7, 0, 20).labels_
    crossed = confusion_matrix(found, labels)
    agreed = crossed[linear_sum_assignment(-crossed)].sum() / len(labels)
    assert mean_eta(reference.columns, found) == pytest.approx(0.479, abs=0.001)
    assert agreed == pytest.approx(0.829, abs=0.01)
    assert adjusted_rand_score(found, labels) == pytest.approx(0.655, abs=0.01)


def test_the_reference_table_is_undecided(reference: World) -> None:
    found = judge(
        reference,
        6,  # with ten starts on the customers, this seed missed the optimum
        fit_kmeans(reference.X, 7, 0, 20).labels_,
    )
    assert found.eta_tuned == pytest.approx(0.4835, abs=0.001)
    assert found.lead == pytest.approx(0.0345, abs=0.002)
    assert found.lead_error == pytest.approx(0.0014, abs=0.0005)
    assert found.excesses[0].value == pytest.approx(0.008, abs=0.003)
    assert found.excesses[0].error == pytest.approx(0.0017, abs=0.0009)
    assert found.excesses[1].value == pytest.approx(0.0204, abs=0.003)
    assert found.verdict == "undecided"
