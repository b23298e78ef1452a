"""Worlds whose customers follow a plain rule, and worlds that no such rule can cut out.

In a *rule world* a first-match rule on raw columns makes the groups; within a group there is
correlated noise and nothing else. In a *geometric world* the groups are Gaussian clusters that
differ a little in many columns, so that a rule of one or two conditions each cannot cut them out.
In both the written cutoffs are somewhat off.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from expectations.contract import Contract
from expectations.parts import Persona
from tasks.kmeans import fit_kmeans
from tasks.personas import first_match, free_cutoffs, move_cutoff
from tasks.scaling import ScalingOptions, business_columns, scale_customers, signed_log

KINDS = ("money", "money", "score", "share")
CARD_KINDS = ("spent", "spent", "money", "share")  # spent: nothing at all for some


class World(NamedTuple):
    """A table, the rule as somebody wrote it, and what the judge takes besides."""

    table: pd.DataFrame
    personas: tuple[Persona, ...]
    X: np.ndarray  # (n_customers, n_columns), scaled
    columns: np.ndarray  # (n_customers, n_columns), money as log1p
    truth: np.ndarray  # (n_customers,)
    k: int

    def kmeans(self) -> np.ndarray:
        """K-means' segments, (n_customers,)."""
        return fit_kmeans(self.X, self.k, 0, n_init=10).labels_


def rule_world(
    seed: int, n: int = 2500, k: int = 5, card: bool = False, correlation: float = 0.5
) -> World:
    """Groups by k - 1 patterns on as many columns; the other columns follow the group.

    `card`: amounts that are 0 for many, and patterns that ask for their users.
    """
    rng = np.random.default_rng(seed)
    kinds = CARD_KINDS if card else KINDS
    n_asked, n_told = k - 1, k + 2
    noise = correlated_noise(rng, n, n_asked, correlation / 2)
    asked = as_raw(noise, [kinds[i % 4] for i in range(n_asked)], "asked")
    truths = true_rule(rng, asked, card)
    truth = first_match(asked, truths)
    told_kinds = [kinds[i % 4] for i in rng.permutation(n_told)]
    told = as_raw(shifted_noise(rng, truth, n_told, correlation), told_kinds, "told")
    return as_world(pd.concat([asked, told], axis=1), miswritten(rng, truths, asked), truth, k)


def geometric_world(
    seed: int, n: int = 2500, k: int = 5, p: int = 8, apart: float = 4.5, correlation: float = 0.4
) -> World:
    """Gaussian clusters, each with correlations of its own, `apart` standard deviations."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(k, 8))
    truth = rng.choice(k, n, p=shares)
    centres = spread_centres(rng, k, p, apart)
    noise = np.empty((n, p))
    for group in range(k):
        rows = truth == group
        noise[rows] = correlated_noise(rng, int(rows.sum()), p, correlation)
    latent = centres[truth] + noise
    table = as_raw(latent / latent.std(axis=0), [("money", "score")[i % 2] for i in range(p)], "c")
    return as_world(table, cut_out(rng, table, truth, k), truth, k)


def spread_centres(rng: np.random.Generator, k: int, p: int, apart: float) -> np.ndarray:
    """Centres, (k, p), of which the two nearest lie `apart`, differing in all columns."""
    drawn = [rng.choice([-1.0, 1.0], (k, p)) * rng.uniform(0.6, 1.4, (k, p)) for _ in range(200)]
    centres = max(drawn, key=nearest_pair)
    return centres * apart / nearest_pair(centres)


def nearest_pair(centres: np.ndarray) -> float:
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    return float(gaps[np.triu_indices(len(centres), 1)].min())


def correlated_noise(rng: np.random.Generator, n: int, p: int, strength: float) -> np.ndarray:
    """Standard normal columns, (n, p), that share one factor with random signs."""
    loadings = rng.choice([-1.0, 1.0], p) * np.sqrt(strength * rng.uniform(0.5, 1, p))
    shared, own = rng.normal(size=(n, 1)), rng.normal(size=(n, p))
    return shared * loadings + own * np.sqrt(1 - loadings**2)


def shifted_noise(
    rng: np.random.Generator, groups: np.ndarray, p: int, strength: float
) -> np.ndarray:
    """Noise, (n, p), with a mean and correlations of its own in every group."""
    latent = np.empty((len(groups), p))
    for group in np.unique(groups):
        rows = groups == group
        shift = rng.normal(0, 0.9, p)
        latent[rows] = shift + correlated_noise(rng, int(rows.sum()), p, strength)
    return latent / latent.std(axis=0)


AS_RAW: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "money": lambda latent: np.exp(6 + latent),
    "spent": lambda latent: np.where(latent > -0.3, np.exp(5.5 + latent), 0),
    "score": lambda latent: 50 + 10 * latent,
    "share": lambda latent: np.round(12 * norm.cdf(latent)) / 12,
}


def as_raw(latent: np.ndarray, kinds: list[str], prefix: str) -> pd.DataFrame:
    """Raw columns from standard normal ones, named by kind."""
    return pd.DataFrame(
        {f"{prefix}_{i}_{kind}": AS_RAW[kind](latent[:, i]) for i, kind in enumerate(kinds)}
    )


def true_rule(rng: np.random.Generator, asked: pd.DataFrame, card: bool) -> tuple[Persona, ...]:
    """One pattern per column and a last one for the rest; each takes a fair share."""
    k = asked.shape[1] + 1
    patterns: list[dict[str, Any]] = []
    for i, name in enumerate(asked.columns):
        share = rng.uniform(0.8, 1.3) / (k - i)
        if card and name.endswith("spent") and rng.random() < 0.5:
            patterns.append({name: {"at_most": 0}})
        elif rng.random() < 0.5:
            patterns.append({name: {"below": cut_at(asked[name], share)}})
        else:
            patterns.append({name: {"at_least": cut_at(asked[name], 1 - share)}})
        if card and i and asked.columns[0].endswith("spent") and rng.random() < 0.3:
            patterns[-1][asked.columns[0]] = {"above": 0}
    return as_personas([*patterns, {}])


def cut_at(column: pd.Series, share: float) -> float:
    """The column's quantile, above 0 where it counts users."""
    users = column[column > 0]
    return float(users.quantile(np.clip(share, 0.05, 0.95)))


def cut_out(
    rng: np.random.Generator, table: pd.DataFrame, truth: np.ndarray, k: int
) -> tuple[Persona, ...]:
    """What an analyst would write: each cluster by the two columns in which it stands out most."""
    columns = logged(table)
    means = columns.groupby(truth).mean()
    gaps = ((means - columns.mean()) / columns.std()).to_numpy()  # (k, n_columns)
    patterns: list[dict[str, Any]] = []
    for group in range(k - 1):
        best = np.argsort(-np.abs(gaps[group]))[:2]
        patterns.append({})
        for column in best:
            name = table.columns[column]
            side = "at_least" if gaps[group, column] > 0 else "below"
            middle = 0.5 * (table[name][truth == group].median() + table[name].median())
            patterns[-1][name] = {side: float(middle * rng.uniform(0.95, 1.05))}
    return as_personas([*patterns, {}])


def as_personas(patterns: list[dict[str, Any]]) -> tuple[Persona, ...]:
    return tuple(
        Persona.model_validate({"name": f"Group {i}", "code": f"G{i}", "when": when})
        for i, when in enumerate(patterns)
    )


def miswritten(
    rng: np.random.Generator, personas: tuple[Persona, ...], table: pd.DataFrame
) -> tuple[Persona, ...]:
    """The rule with every cutoff off by 4 to 10 % of the customers."""
    for cutoff in free_cutoffs(personas):
        users = table[cutoff.column][table[cutoff.column] > 0]
        rank = (users < cutoff.value).mean() + rng.choice([-1, 1]) * rng.uniform(0.04, 0.1)
        moved = move_cutoff(personas, cutoff, float(users.quantile(np.clip(rank, 0, 1))))
        personas = moved or personas
    return personas


def logged(table: pd.DataFrame) -> pd.DataFrame:
    """Money as log1p, the rest as it is."""
    money = [name for name in table if str(name).endswith(("money", "spent"))]
    return table.assign(**{str(name): signed_log(table[name].to_numpy()) for name in money})


def as_world(
    table: pd.DataFrame, personas: tuple[Persona, ...], truth: np.ndarray, k: int
) -> World:
    columns = logged(table).to_numpy()
    X = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    return World(table, personas, X, columns, truth, k)


def customer_world(clean: pd.DataFrame, contract: Contract, k: int) -> World:
    """A real table with its contract's personas; the truth is not known, so the rule stands in."""
    scaled = scale_customers(clean, contract, ScalingOptions()).table
    X = scaled.drop(columns=contract.id.column).to_numpy()
    columns = business_columns(clean, contract).to_numpy()
    truth = first_match(clean, contract.personas)
    return World(clean, tuple(contract.personas), X, columns, truth, k)


RULE_WORLDS: Mapping[str, Callable[[], World]] = {
    f"rule {i}{' (card)' if card else ''}: {k} groups, r {r}": (
        partial(rule_world, 100 + i, n, k, card, r)
    )
    for i, (n, k, card, r) in enumerate(
        [
            (2500, 5, False, 0.5),
            (2000, 4, False, 0.2),
            (3000, 6, False, 0.6),
            (2500, 7, False, 0.4),
            (2000, 3, False, 0.7),
            (2500, 5, True, 0.5),
            (3000, 6, True, 0.3),
            (2000, 4, True, 0.6),
            (3000, 7, True, 0.5),
            (2500, 5, True, 0.0),
        ]
    )
}
GEOMETRIC_WORLDS: Mapping[str, Callable[[], World]] = {
    f"geometric {i}: {k} clusters, {p} columns, {apart} apart": (
        partial(geometric_world, 200 + i, n, k, p, apart, r)
    )
    for i, (n, k, p, apart, r) in enumerate(
        [
            (2500, 5, 8, 4.5, 0.4),
            (2000, 4, 6, 4.5, 0.2),
            (3000, 6, 10, 5.0, 0.5),
            (2500, 7, 10, 4.5, 0.3),
            (2000, 3, 5, 4.0, 0.3),
            (2500, 5, 12, 5.0, 0.6),
            (3000, 8, 9, 4.0, 0.2),
            (2000, 4, 8, 3.5, 0.4),
            (3000, 6, 7, 4.0, 0.0),
            (2500, 5, 6, 5.0, 0.5),
        ]
    )
}
