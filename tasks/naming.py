"""What a segment is called and what to do about it, from what it is and never from its number."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from expectations.contract import Contract
from expectations.parts import Actions, Persona
from tasks.matching import sorted_ids
from tasks.personas import first_match
from tasks.profiling import NO_NAMES
from tasks.reasons import differences, meaning_of, shortened, words_of

# A segment is a persona if more than half of its customers are, or nearly so many and its medians
# are one, too. On the reference table the seven lie between 66 and 100 %, and the commonest
# persona of a segment that is none below 40 %.
MOST, NEARLY_MOST = 0.5, 0.4
MUCH_CARE = 1 / 3  # of an unnamed segment's customers, from which on it is handled with care
CLEAR = 0.33  # a medium effect by Cliff's delta: Romano et al. 2006, FAIR, "Appropriate statistics"
SAME_THING = 0.7  # Spearman correlation from which on a second column adds nothing to a name
SHORT_MEANING = 16  # letters, from which on a column's own name is used within a segment's
LONGEST_NAME, LONGEST_PART = 40, 100  # letters, of a generated name; of what a contract gives


class Fit(NamedTuple):
    """Which persona a segment is, None if it is none, and the one whose actions it gets."""

    persona: Persona | None
    matched: float
    acts_as: Persona | None
    care: bool


NOTHING = Fit(None, np.nan, None, False)


def name_segments(
    segment: pd.Series,
    clean: pd.DataFrame,
    contract: Contract,
    ids: Sequence[str] = (),
    given: Mapping[str, str] = NO_NAMES,
) -> pd.DataFrame:
    """Name each segment, and say what to do about its customers.

    Parameters
    ----------
    segment : Series of str
        The segment of each customer, in the order of `clean`.
    clean : DataFrame
        One row per customer with the contract's columns.
    contract : Contract
        Names the columns and describes the personas.
    ids : sequence of str
        Every segment there is, also one in which nobody is; empty: those of the customers.
    given : mapping
        The names that persons gave: they win.

    Returns
    -------
    DataFrame
        One row per segment: `segment`, `name` and `code` (both unique), `persona` (null where the
        segment is none), `care`, `matched` (the share of its customers whose first match is the
        persona), and the actions for `retention` and `campaign` (empty where none is known).
    """
    segment = segment.set_axis(clean.index)
    everyone = sorted_ids(ids if len(ids) else segment.dropna().unique())
    fits = _fits(segment, clean, contract, everyone)
    called = _Called(segment, clean, contract)
    bases = {of: called.base(of, fits[of].persona, given.get(of, "")) for of in everyone}
    names = called.told_apart(bases, {of for of in everyone if given.get(of, "").strip()})
    codes = _codes(fits, segment.value_counts())
    actions = {of: fit.acts_as.actions if fit.acts_as else Actions() for of, fit in fits.items()}
    personas = [fit.persona.name if fit.persona else None for fit in fits.values()]
    return pd.DataFrame(
        {
            "segment": everyone,
            "name": [names[of] for of in everyone],
            "persona": pd.array(personas, dtype="str"),
            "code": [codes[of] for of in everyone],
            "care": [fit.care for fit in fits.values()],
            "matched": [fit.matched for fit in fits.values()],
            "retention": [actions[of].retention for of in everyone],
            "campaign": [actions[of].campaign for of in everyone],
        }
    )


def _fits(
    segment: pd.Series, clean: pd.DataFrame, contract: Contract, ids: Sequence[str]
) -> dict[str, Fit]:
    personas = contract.personas
    position = pd.Series(first_match(clean, personas), index=clean.index)
    shares = pd.crosstab(segment, position, normalize="index")
    shares = shares.reindex(columns=range(len(personas)), fill_value=0.0)  # (k, n_personas)
    medians = clean[list(contract.numeric)].groupby(segment).median().loc[shares.index]
    by_profile = first_match(medians, personas)
    known = {
        str(of): _fit(shares.loc[of].to_numpy(), profile, personas)
        for of, profile in zip(shares.index, by_profile, strict=True)
    }
    return {of: known.get(of, NOTHING) for of in ids}


def _fit(shares: np.ndarray, profile: int, personas: Sequence[Persona]) -> Fit:
    """The persona of a segment with these shares, (n_personas,), and this one by its medians."""
    if not len(shares):
        return NOTHING
    best = int(shares.argmax())
    matched = float(shares[best])
    if matched > MOST or (matched >= NEARLY_MOST and best == profile):
        return Fit(personas[best], matched, personas[best], personas[best].care)
    in_care = np.where([persona.care for persona in personas], shares, 0)
    if in_care.sum() >= MUCH_CARE:
        return Fit(None, np.nan, personas[int(in_care.argmax())], True)
    return NOTHING


class _Called:
    """Names of segments; their differences are looked up only where a name needs them."""

    def __init__(self, segment: pd.Series, clean: pd.DataFrame, contract: Contract) -> None:
        self.segment, self.clean, self.contract = segment, clean, contract

    @cached_property
    def marks(self) -> pd.DataFrame:
        """What tells each segment clearly from all others."""
        found = differences(self.segment, self.clean, self.contract)
        return found[found["effect"].abs() >= CLEAR]

    def base(self, of: str, persona: Persona | None, given: str) -> str:
        """The name of a segment by itself."""
        if given.strip():
            return given.strip()
        if persona is not None:
            return shortened(persona.name, LONGEST_PART) or of
        if not (self.segment == of).any():
            return "Nobody this month"
        words = self.strongest(of, self.marks, self.clean) or ["like everyone"]
        both = ", ".join(words)
        name = both if len(both) <= LONGEST_NAME else shortened(words[0], LONGEST_NAME)
        return name[:1].upper() + name[1:]

    def told_apart(self, bases: Mapping[str, str], fixed: Collection[str]) -> dict[str, str]:
        """Unique names: of several alike each says how it differs most from the others.

        The `fixed` ones keep theirs. What is still alike then is told apart by its id.
        """
        alike: dict[str, list[str]] = {}
        for of, base in bases.items():
            alike.setdefault(base.casefold(), []).append(of)
        contrasts: dict[str, str] = {}
        for group in alike.values():
            if len(group) > 1:
                contrasts |= self.contrasts(group, fixed)
        names = {of: f"{base}{contrasts.get(of, '')}" for of, base in bases.items()}
        return {of: _unlike(of, names, fixed) for of in names}

    def contrasts(self, group: Sequence[str], fixed: Collection[str]) -> dict[str, str]:
        """What each of some segments alike, but the `fixed`, adds to its name."""
        there = self.segment.isin(group)
        clean = self.clean[there]
        found = differences(self.segment[there], clean, self.contract)
        found = found[found["effect"] != 0]
        words = {of: self.strongest(of, found, clean) for of in group if of not in fixed}
        first = [one[:1] for one in words.values()]
        said = {of: one[: 2 if first.count(one[:1]) > 1 else 1] for of, one in words.items()}
        return {of: f": {', '.join(one)}" for of, one in said.items() if one}

    def strongest(self, of: str, found: pd.DataFrame, clean: pd.DataFrame) -> list[str]:
        """The strongest difference `found` of a segment, and the next that adds to it, in words."""
        columns = found.loc[found["segment"] == of, "column"].tolist()
        more = (one for one in columns[1:] if not _say_the_same(clean, columns[0], one))
        named = [*columns[:1], *islice(more, 1)]
        lines = found[(found["segment"] == of) & found["column"].isin(named)]
        told = zip(lines["column"], lines["effect"], lines["median"], strict=True)
        return [self.words(*one) for one in told]

    def words(self, name: str, effect: float, median: float) -> str:
        """A difference as part of a name: high purchases, no cash advance."""
        meaning = meaning_of(name, self.contract)
        what = meaning if len(meaning) <= SHORT_MEANING else words_of(name, LONGEST_NAME)
        if effect > 0:
            return f"high {what}"
        counts_use = self.contract.columns[name].kind in ("money", "count")
        return f"no {what}" if median == 0 and counts_use else f"low {what}"


def _unlike(of: str, names: Mapping[str, str], fixed: Collection[str]) -> str:
    """A segment's name, its id added while another one has it; persons may give Vip and VIP."""
    name, others = names[of], [other for one, other in names.items() if one != of]
    if of in fixed:
        return f"{name} ({of})" if name in (names[one] for one in fixed if one != of) else name
    taken = {other.casefold() for other in others}
    while name.casefold() in taken:
        name = f"{name} ({of})"
    return name


def _say_the_same(clean: pd.DataFrame, first: str, other: str) -> bool:
    """Whether two columns go together so closely that one says all of both."""
    pair = clean[[first, other]].dropna()
    ranks = rankdata(pair.to_numpy(float), axis=0)
    if len(pair) < 2 or not ranks.std(axis=0).all():
        return first == other
    return abs(np.corrcoef(ranks.T)[0, 1]) >= SAME_THING


def _codes(fits: Mapping[str, Fit], sizes: pd.Series) -> dict[str, str]:
    """A neutral code per segment: the persona's, with -2 and so on where several are one.

    The one that fits best comes first, then the larger one, so that the ids decide nothing else.
    """
    order = sorted(fits, key=lambda of: (-np.nan_to_num(fits[of].matched), -sizes.get(of, 0)))
    codes: dict[str, str] = {}
    for of in sorted(order, key=lambda of: fits[of].persona is None):
        persona = fits[of].persona
        first = persona.code if persona else of
        number, code = 1, first
        while code in codes.values():
            number += 1
            code = f"{first}-{number}"
        codes[of] = code
    return codes
