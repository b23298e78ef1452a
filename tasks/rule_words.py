"""A segment's rule as people say it, with every digit of its bounds."""

from collections.abc import Mapping, Sequence

from expectations.contract import Contract
from tasks.reasons import meaning_of

ABOVE, AT_MOST = "above", "at_most"

Conjunction = Mapping[str, Mapping[str, float]]  # column -> its bounds; all hold
Rule = Sequence[Conjunction]  # at most two; one of them holds


def rule_in_words(rule: Rule, contract: Contract) -> str:
    """A rule as people say it: purchases above 500 and no instalments."""
    parts = [_listed([_bound_in_words(*one, contract) for one in part.items()]) for part in rule]
    return "; or ".join(parts)


def _listed(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _bound_in_words(name: str, bounds: Mapping[str, float], contract: Contract) -> str:
    column, what = contract.columns[name], meaning_of(name, contract)
    low, high = bounds.get(ABOVE), bounds.get(AT_MOST)
    counts_use = column.kind in ("money", "count") and (column.low or 0) >= 0
    if counts_use and high == 0:
        return f"no {what}"
    if counts_use and (low, high) == (0, None):
        return f"some {what}"
    told = {of: _exactly(value, column.kind) for of, value in bounds.items()}
    if low is not None and high is not None:
        return f"{what} above {told[ABOVE]} and up to {told[AT_MOST]}"
    return f"{what} above {told[ABOVE]}" if high is None else f"{what} at most {told[AT_MOST]}"


def _exactly(value: float, kind: str) -> str:
    """A bound with all its digits, so that what is printed is what was measured."""
    number = f"{100 * value if kind == 'share' else value:,.12g}"
    return f"{number}%" if kind == "share" else number
