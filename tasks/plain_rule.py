"""Whether K-means deserves its complexity, or a handful of `if`s does as well.

Two figures judge K-means against the contract's personas, read from top to bottom: the *lead*,
how much more of the columns' variance it explains than the rule with its cutoffs at their best,
and the *excess*, how much tighter its segments are than on customers without structure beyond
the rule. A lead alone proves little: K-means leads on such customers too. How such customers are
drawn matters where many values are equal, so they are drawn in two ways.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from expectations.parts import Persona
from tasks.kmeans import fit_kmeans, one_core_each
from tasks.personas import first_match, free_cutoffs, rules_nearby
from tasks.redrawing import NULLS, redraw_within
from tasks.seeds import child_seed
from tasks.yardsticks import eta_squared

SWEEPS = 4  # over all cutoffs; the second seldom moves one, the third hardly ever
STARTS = 10  # of K-means on redrawn customers; a missed optimum averages out
REAL_STARTS = 40  # on the real ones, fitted once: ten starts miss the optimum once in 36 times
ROUNDS = 5  # of matching correlations: the misfit falls to a fourth and stays

Verdict = Literal["K-means", "undecided", "rule"]


class PlainRuleOptions(BaseModel):
    """What K-means must show to be worth more than a handful of `if`s."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_excess: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        title="Least excess",
        description="How much tighter than chance within the rule's groups K-means must be.",
    )
    n_errors: float = Field(
        default=2, ge=0, title="Standard errors", description="How many make lead and excess clear."
    )
    null_draws: int = Field(
        default=20, ge=2, title="Null draws", description="Tables without structure but the rule's."
    )
    resamples: int = Field(
        default=100, ge=2, title="Resamples", description="Of the customers, for the lead's error."
    )


class Estimate(NamedTuple):
    """A figure and its standard error."""

    value: float
    error: float


class PlainRule(NamedTuple):
    """The verdict, its reason in words, and what it rests on."""

    verdict: Verdict
    says: str
    lead: float  # eta squared of K-means less that of the tuned rule
    lead_error: float
    excesses: tuple[Estimate, ...]  # a null each
    eta_written: float
    eta_tuned: float
    tuned: tuple[Persona, ...]
    written_labels: np.ndarray  # (n_customers,)
    tuned_labels: np.ndarray  # (n_customers,)


def judge_plain_rule(
    clean: pd.DataFrame,
    personas: Sequence[Persona],
    X: np.ndarray,
    columns: np.ndarray,
    labels: np.ndarray,
    k: int,
    options: PlainRuleOptions,
    seed: int,
) -> PlainRule | None:
    """Measure K-means against the personas with tuned cutoffs; None if there are no personas.

    Parameters
    ----------
    clean : DataFrame
        One row per customer, with the raw columns that the personas ask for.
    personas : sequence of Persona
        The rule, from top to bottom.
    X, columns : ndarray, (n_customers, n_features), (n_customers, n_columns)
        The reference space, and the business columns with money and counts as log1p.
    labels, k : ndarray, (n_customers,), int
        K-means' segments and their number.
    options, seed : PlainRuleOptions, int
        Thresholds and numbers of draws; the run's seed.
    """
    if not personas:
        return None
    tuned = tune_cutoffs(clean, personas, columns)
    written_labels, tuned_labels = first_match(clean, personas), first_match(clean, tuned)
    lead = measure_lead(columns, labels, tuned_labels, options.resamples, seed)
    excesses = measure_excesses(X, tuned_labels, k, options.null_draws, seed)
    verdict = decide(lead, excesses, options)
    etas = mean_eta(columns, written_labels), mean_eta(columns, tuned_labels)
    says = say(verdict, lead, excesses, etas[1], options)
    return PlainRule(verdict, says, *lead, excesses, *etas, tuned, written_labels, tuned_labels)


def decide(lead: Estimate, excesses: Sequence[Estimate], options: PlainRuleOptions) -> Verdict:
    """An unclear lead speaks for the rule, an unclear excess for nobody.

    `excesses` are over `NULLS`: correlations matched, then normal scores. A verdict must not hang
    on the way in which chance was drawn, so the rule is preferred only where both say so. The
    second is an upper figure by itself; one error more is enough there.
    """
    matched, upper = excesses
    error = options.n_errors * matched.error
    if lead.value <= options.n_errors * lead.error:
        return "rule"
    if matched.value - error > options.min_excess:
        return "K-means"
    if max(matched.value + error, upper.value + upper.error) < options.min_excess:
        return "rule"
    return "undecided"


def say(
    verdict: Verdict,
    lead: Estimate,
    excesses: Sequence[Estimate],
    eta_tuned: float,
    options: PlainRuleOptions,
) -> str:
    """The verdict and its reason, in a sentence for a reader."""
    led = (
        f"{verdict}: K-means explains {100 * abs(lead.value):.1f} points "
        f"(±{100 * lead.error:.1f}) {'more' if lead.value >= 0 else 'less'} of the columns' "
        f"variance than the rule with tuned cutoffs ({f'{eta_tuned:.3f}'.removeprefix('0')})"
    )
    if lead.value <= options.n_errors * lead.error:
        return f"{led}, which is no clear lead"
    link = "and its segments are" if verdict == "K-means" else "but its segments are only"
    tighter = " to ".join(f"{100 * one.value:.1f} % (±{100 * one.error:.1f})" for one in excesses)
    return (
        f"{led}, {link} {tighter} tighter than chance would make them within the rule's groups, "
        f"by {len(excesses)} ways to draw chance; {100 * options.min_excess:g} % is asked for"
    )


def tune_cutoffs(
    clean: pd.DataFrame, personas: Sequence[Persona], columns: np.ndarray
) -> tuple[Persona, ...]:
    """The rule with the cutoffs that explain most of `columns`, (n_customers, n_columns).

    One cutoff after the other, over a small grid around where it stands. A rule judged with
    careless cutoffs would lose to K-means even where customers follow it exactly.
    """
    best = tuple(personas)
    for _ in range(SWEEPS):
        before = best
        for cutoff in free_cutoffs(best):
            best = max(
                rules_nearby(clean, best, cutoff),  # a tie stays as written
                key=lambda rule: mean_eta(columns, first_match(clean, rule)),
            )
        if best == before:
            break
    return best


def mean_eta(columns: np.ndarray, labels: np.ndarray) -> float:
    """Share of variance explained, the mean over the columns."""
    return float(eta_squared(columns, labels).mean())


def measure_lead(
    columns: np.ndarray, labels: np.ndarray, rule: np.ndarray, resamples: int, seed: int
) -> Estimate:
    """Lead of `labels` over `rule`, both (n_customers,), with a bootstrap standard error."""
    rng = np.random.default_rng(child_seed(seed, "plain rule", "lead"))
    leads = []
    for _ in range(resamples):
        rows = rng.integers(len(columns), size=len(columns))
        leads.append(mean_eta(columns[rows], labels[rows]) - mean_eta(columns[rows], rule[rows]))
    lead = mean_eta(columns, labels) - mean_eta(columns, rule)
    return Estimate(lead, float(np.std(leads, ddof=1)))


def measure_excesses(
    X: np.ndarray, groups: np.ndarray, k: int, draws: int, seed: int
) -> tuple[Estimate, ...]:
    """Excess of K-means on X, (n_customers, n_features), over each of `NULLS`, with its error.

    1 - inertia(X) / inertia(null), the mean over null draws. Where customers have no structure
    beyond the groups, X is one more draw: so the error is the draws' spread, once for X itself
    and once for the mean of the draws.
    """

    def inertia(null: tuple[str, int]) -> float:
        name, draw = null
        rng = np.random.default_rng(child_seed(seed, "plain rule", name, draw))
        redrawn = redraw_within(X, groups, NULLS[name], rng)
        return fit_kmeans(redrawn, k, int(rng.integers(2**32)), STARTS).inertia_

    real = fit_kmeans(X, k, child_seed(seed, "plain rule", "real"), REAL_STARTS).inertia_
    with one_core_each() as pool:
        drawn = pool.map(inertia, [(name, draw) for name in NULLS for draw in range(draws)])
        nulls = np.array(list(drawn)).reshape(len(NULLS), draws)
    excesses = 1 - np.divide(real, nulls, out=np.ones(nulls.shape), where=nulls > 0)
    errors = excesses.std(axis=1, ddof=1) * np.sqrt(1 + 1 / draws)
    return tuple(
        Estimate(*map(float, one)) for one in zip(excesses.mean(axis=1), errors, strict=True)
    )
