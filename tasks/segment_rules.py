"""Each segment as a rule in plain words, from a shallow tree on the raw columns.

The rules explain the segments and do not make them. They are made from two thirds of the customers
and measured on the others, exactly as they are printed.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from expectations.contract import Contract
from expectations.parts import Persona
from tasks.matching import sorted_ids
from tasks.personas import first_match, readable_cutoff
from tasks.rule_words import ABOVE, AT_MOST, Conjunction, Rule, rule_in_words
from tasks.seeds import child_seed

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeClassifier

DEPTH = 5
FOLDS = 5
FIT_ROWS = 50_000  # from more customers a tree of this depth learns the same
HELD_OUT = 3  # one customer in so many
SLACK = 0.0025  # of the customers, who may change sides so that a bound has fewer digits
TINY = 0.05  # of those who use a thing: so few use it less than the bound that it says "none"
SIMPLER = 0.01  # of F1, that a rule may lose by one bound fewer
BETTER = 0.05  # of F1, that makes a rule worth a second part
Path = tuple[tuple[int, str, float], ...]  # from a tree's root: column, side and cutoff
RULES = ["segment", "says", "conditions", "precision", "coverage"]


class SegmentRules(NamedTuple):
    """The rules, and how far a tree of `depth` finds the segment of customers it never saw.

    `rules` has one row per segment: `segment`; the rule in words (`says`, empty where none could
    be measured); its `conditions`, JSON values that `matches` takes; `precision`, the share of
    held-out customers fulfilling it who are in the segment, and `coverage`, the share of the
    segment's held-out customers who fulfil it.
    """

    rules: pd.DataFrame
    accuracy: float
    depth: int


class Known(NamedTuple):
    """Customers from whom rules are made: their columns without gaps, and their segment."""

    table: pd.DataFrame
    labels: np.ndarray


def explain_by_rules(
    segment: pd.Series, clean: pd.DataFrame, contract: Contract, seed: int, min_cell: int = 5
) -> SegmentRules:
    """Find a rule for each segment and measure it on customers that it was not made from.

    Parameters
    ----------
    segment : Series of str
        The segment of each customer, in the order of `clean`.
    clean : DataFrame
        One row per customer with the contract's columns. A gap counts as the median while the
        tree grows, and fulfils no condition of a rule.
    contract : Contract
        Names the id and the columns.
    seed : int
        The run's seed; the order of the rows plays no part.
    min_cell : int
        A rule that fewer held-out customers fulfil is not told, and none rests on fewer.
    """
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(child_seed(seed, "rules"))
    order = clean[contract.id.column].argsort().to_numpy()
    picked = order if len(order) <= FIT_ROWS else rng.choice(order, FIT_ROWS, replace=False)
    raw = clean[list(contract.numeric)].astype(float).iloc[picked]
    labels = segment.to_numpy(object)[picked]
    tree = DecisionTreeClassifier(
        max_depth=DEPTH, min_samples_leaf=max(1, min_cell), random_state=child_seed(seed, "tree")
    )
    held_out = _held_out(labels, rng)
    table = raw.fillna(raw[~held_out].median())
    known = Known(table[~held_out], labels[~held_out])
    fitted = tree.fit(known.table.to_numpy(), known.labels)
    parts = _parts_by_segment(fitted, known, contract)
    judged = Known(raw[held_out], labels[held_out])
    rules = [
        _measured(of, _rule(of, parts.get(of, []), known), judged, contract, min_cell)
        for of in sorted_ids(segment.dropna().unique())
    ]
    accuracy = _accuracy(tree, table.to_numpy(), labels, seed)
    return SegmentRules(pd.DataFrame(rules, columns=RULES), accuracy, int(fitted.get_depth()))


def matches(conditions: Rule, table: pd.DataFrame) -> np.ndarray:
    """Who fulfils a rule, (n_customers,) of bool: all bounds of any of its parts."""
    parts = [
        Persona.model_validate({"name": "rule", "code": "rule", "when": dict(part)})
        for part in conditions
    ]
    return first_match(table, parts) < len(parts)


def _held_out(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mask of one customer in `HELD_OUT` of every segment, drawn at random."""
    mask = np.zeros(len(labels), dtype=bool)
    for of in sorted_ids(set(labels)):
        members = rng.permutation(np.flatnonzero(labels == of))
        mask[members[HELD_OUT - 1 :: HELD_OUT]] = True
    return mask


def _accuracy(
    tree: "DecisionTreeClassifier", X: np.ndarray, labels: np.ndarray, seed: int
) -> float:
    from sklearn.base import clone
    from sklearn.model_selection import KFold, cross_val_score

    folds = KFold(min(FOLDS, len(X)), shuffle=True, random_state=child_seed(seed, "folds"))
    return float(cross_val_score(clone(tree), X, labels, cv=folds).mean())


def _parts_by_segment(
    fitted: "DecisionTreeClassifier", known: Known, contract: Contract
) -> dict[str, list[Conjunction]]:
    """The tree's leaves as conjunctions, by the segment that is commonest in each."""
    parts: dict[str, list[Conjunction]] = {}
    for leaf, path in _leaves(fitted.tree_):
        of = str(fitted.classes_[fitted.tree_.value[leaf][0].argmax()])
        parts.setdefault(of, []).append(_part(path, known.table, contract))
    return parts


def _part(path: Path, table: pd.DataFrame, contract: Contract) -> Conjunction:
    """The bounds on the way to a leaf, those on one column merged, in readable numbers."""
    for slack in (SLACK, 0.0):
        part: dict[str, dict[str, float]] = {}
        for at, side, cutoff in path:  # from the root: a later bound is closer
            name = str(table.columns[at])
            tiny = TINY if slack and contract.columns[name].kind in ("money", "count") else 0.0
            readable = readable_cutoff(table[name].to_numpy(), cutoff, slack, tiny)
            part.setdefault(name, {})[side] = readable
        if all(one.get(ABOVE, -math.inf) < one.get(AT_MOST, math.inf) for one in part.values()):
            break  # else so few lie between two bounds that both became one number
    return part


def _leaves(tree: Any, node: int = 0, path: Path = ()) -> Iterator[tuple[int, Path]]:
    """Each leaf with the bounds that lead to it."""
    left, right = tree.children_left[node], tree.children_right[node]
    if left == right:
        yield node, path
        return
    at, cutoff = int(tree.feature[node]), float(tree.threshold[node])
    yield from _leaves(tree, left, (*path, (at, AT_MOST, cutoff)))
    yield from _leaves(tree, right, (*path, (at, ABOVE, cutoff)))


def _rule(of: str, leaves: Sequence[Conjunction], known: Known) -> Rule:
    """The best of the segment's leaves, or two where a second finds clearly more of it.

    They are judged by F1, the harmonic mean of precision and coverage, on the fitted customers.
    No customer is in two leaves, so what a second one adds to F1 is coverage.
    """
    is_own = known.labels == of
    if not leaves:
        return []
    single = max(
        (_pruned([leaf], known.table, is_own) for leaf in leaves),
        key=lambda rule: _f1(matches(rule, known.table), is_own),
    )
    found = [matches([leaf], known.table) for leaf in leaves]
    first, second = max(
        product(range(len(leaves)), repeat=2),
        key=lambda pair: _f1(found[pair[0]] | found[pair[1]], is_own),
    )
    double = _pruned([leaves[first], leaves[second]], known.table, is_own)
    alone, together = (_f1(matches(rule, known.table), is_own) for rule in (single, double))
    return double if together - alone >= BETTER else single


def _pruned(rule: Rule, table: pd.DataFrame, is_own: np.ndarray) -> Rule:
    """The rule without the bounds that make it hardly better, as in Quinlan 1987.

    "Simplifying decision trees", International Journal of Man-Machine Studies 27, section 4: a
    leaf's early bounds often serve other leaves.
    """
    best, top = rule, _f1(matches(rule, table), is_own)
    while shorter := _one_bound_fewer(best):
        scores = [_f1(matches(one, table), is_own) for one in shorter]
        if max(scores) < top - SIMPLER:
            break
        best, top = shorter[int(np.argmax(scores))], max(top, *scores)
    return best


def _one_bound_fewer(rule: Rule) -> list[Rule]:
    """The rule without each of its bounds in turn; a part keeps one at least."""
    return [
        [*rule[:at], _without(part, column, side), *rule[at + 1 :]]
        for at, part in enumerate(rule)
        if sum(map(len, part.values())) > 1
        for column, bounds in part.items()
        for side in bounds
    ]


def _without(part: Conjunction, column: str, side: str) -> Conjunction:
    left = {
        name: {of: value for of, value in bounds.items() if (name, of) != (column, side)}
        for name, bounds in part.items()
    }
    return {name: bounds for name, bounds in left.items() if bounds}


def _f1(found: np.ndarray, is_own: np.ndarray) -> float:
    hits = (found & is_own).sum()
    return float(2 * hits / max(1, found.sum() + is_own.sum()))


def _measured(
    of: str, rule: Rule, judged: Known, contract: Contract, min_cell: int
) -> tuple[str, str, Rule, float, float]:
    """A line of the rules; without a rule where too few were held out to measure it."""
    found, is_own = matches(rule, judged.table), judged.labels == of
    hits = (found & is_own).sum()
    if not all(rule) or not rule or hits < max(1, min_cell):
        return of, "", [], np.nan, np.nan
    says = rule_in_words(rule, contract)
    return of, says, rule, float(hits / found.sum()), float(hits / is_own.sum())
