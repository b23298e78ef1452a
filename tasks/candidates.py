"""Every candidate on one line, the plain rule among them, and the one that is chosen."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from expectations.contract import Contract
from tasks.audit import (
    Audit,
    Candidate,
    Verdicts,
    audit_sample,
    audited,
    metrics_of,
    possible_ks,
    reference_of,
)
from tasks.champion import Lead, champion_candidate, explained_lead
from tasks.confidence import calibrate, gaps_of
from tasks.embedding import SPACES, EmbeddingOptions
from tasks.model import SegmentModel
from tasks.outcome import Outcome
from tasks.plain_rule import PlainRuleOptions
from tasks.rule_candidate import in_short, judge, rule_candidates, rule_verdict
from tasks.selection import (
    CURVE,
    Choice,
    SelectionOptions,
    SpaceFigures,
    choose_k,
    choose_space,
    elbow,
    times_found,
)
from tasks.yardsticks import NAN, Reference, agreement, left_out_eta_squared

PLAIN = "none"

Progress = Callable[[int, int], None]


def select_segments(
    scaled: pd.DataFrame,
    clean: pd.DataFrame,
    contract: Contract,
    options: SelectionOptions,
    embedding: EmbeddingOptions,
    plain_rule: PlainRuleOptions,
    seed: int,
    champion: SegmentModel | None = None,
    as_fitted: Mapping[str, Any] = MappingProxyType({}),
    pinned_by: str = "as asked for",
    on_progress: Progress | None = None,
) -> Outcome:
    """Measure every candidate and choose one; the champion, if there is one, stands beside them.

    Parameters
    ----------
    scaled : DataFrame
        The id and the features, (n_customers, 1 + n_features); the reference space.
    clean : DataFrame
        The same customers in the same order, with the contract's columns.
    contract : Contract
        Names the columns to be explained, and the personas of the plain rule.
    options, embedding, plain_rule : SelectionOptions, EmbeddingOptions, PlainRuleOptions
        What is pinned, and by which thresholds the rest is chosen.
    seed : int
        The run's seed.
    champion : SegmentModel, optional
        The published model.
    as_fitted : mapping
        What the champion's own resamples said when it was fitted.
    pinned_by : str
        Why the space is not chosen, where it is not.
    on_progress : callable, optional
        Called with (steps done, steps in all).

    Returns
    -------
    Outcome
        `table` has one line per candidate, with every yardstick, what the rules say of it
        (`verdict`), and `chosen`: none is, where no number of segments is stable and none was
        asked for. `learned` has the chosen space, fitted, and the curve that turns distances
        into confidence; `log` the choice in words. Raises `InputError` where there are too few
        customers for the segments asked for, or for two.
    """
    X = scaled.drop(columns=contract.id.column).to_numpy()  # (n_customers, n_features)
    ks = possible_ks(options.segments, len(X))
    rows = audit_sample(X, options.audit_rows, seed)
    told = Told(on_progress, len(ks) + len(other_spaces(embedding)) + 4)
    with threadpool_limits(1):  # candidates share the cores, not their sums
        reference = reference_of(X, clean, contract, rows, seed)
        audit = Audit(reference, X[rows], quick_to_compare(embedding), seed)
        plain = audit_plain(audit, ks, options, told)
        beside = beside_of(audit, clean.iloc[rows], champion, as_fitted)
        k = options.segments or plain.by_rule.chosen
        if k is None:
            told.all()
            return nothing_stable(plain, beside, len(rows))
        spaces = audit_spaces(audit, plain.candidates[k], options, told, pinned_by)
        judged = judge(audit, clean.iloc[rows], contract, spaces.chosen, plain_rule)
        told.after()
        table = table_of(
            [*plain.candidates.values(), *spaces.others, *rule_candidates(audit, judged), *beside],
            plain.null,
            plain.verdicts | spaces.verdicts | rule_verdict(judged),
            spaces.chosen,
        )
        lead = lead_over(beside, spaces.chosen, reference, seed)
        learned = {
            "embedding.skops": told.after(audit.published_space(spaces.chosen.space)),
            "confidence.parquet": confidence_curve(spaces.chosen),
        }
    log = {
        **log_of(plain, options.segments, len(rows)),
        "k": k,
        "space": spaces.chosen.space,
        "why_space": spaces.why,
        "metrics": metrics_of(spaces.chosen),
        "plain_rule": in_short(judged),
        "champion": told_of_champion(beside, lead),
    }
    return Outcome(table if lead is None else with_lead(table, lead), learned, log)


class Plain(NamedTuple):
    """The candidates of the plain space by k, permuted columns beside them, and what is chosen."""

    candidates: dict[int, Candidate]
    null: pd.DataFrame
    by_rule: Choice

    @property
    def verdicts(self) -> Verdicts:
        """What the rule says of each k."""
        return {(PLAIN, k): words for k, words in self.by_rule.verdicts.items()}


class Spaces(NamedTuple):
    """The other spaces at one k, the candidate that is chosen, and why."""

    others: list[Candidate]
    chosen: Candidate
    why: str
    verdicts: Verdicts


def audit_plain(audit: Audit, ks: Sequence[int], options: SelectionOptions, told: "Told") -> Plain:
    """Audit every k of the plain space, and choose."""
    candidates = audit.curve(ks, audited(ks, options), options.resamples, told.after)
    null = told.after(audit.null_curve(ks))
    return Plain(candidates, null, choose_k(lines_of(candidates.values()), options))


def audit_spaces(
    audit: Audit, plain: Candidate, options: SelectionOptions, told: "Told", pinned_by: str
) -> Spaces:
    """Audit the other spaces at the plain one's k, and choose unless one was asked for."""
    asked_for = audit.embedding.embedding
    others = [
        told.after(audit.space(name, plain.k, options.space_resamples))
        for name in other_spaces(audit.embedding)
    ]
    by_name = {one.space: one for one in (plain, *others)}
    compared = choose_space(figures_of(by_name, audit.reference, options), options)
    verdicts = {(name, plain.k): words for name, words in compared.verdicts.items()}
    chosen = by_name[compared.chosen if asked_for == "auto" else asked_for]
    if chosen is not plain:  # few resamples compare spaces, but do not tell a segment's survival
        audited_whole = audit.whole(chosen, options.resamples)
        others = [audited_whole if one is chosen else one for one in others]
        chosen = audited_whole
    told.after()
    why = compared.why if asked_for == "auto" else f"{asked_for}: {pinned_by}"
    return Spaces(
        others, chosen, f"{why}{'' if chosen is plain else found_again(chosen)}", verdicts
    )


def found_again(candidate: Candidate) -> str:
    """How stable a candidate is, in words."""
    found, resamples = times_found(candidate.line)
    return (
        f" (its weakest segment was found again in {found} of {resamples} resamples, "
        f"bootstrap ARI {candidate.line['bootstrap_ari']:.3f})"
    )


def quick_to_compare(embedding: EmbeddingOptions) -> EmbeddingOptions:
    """One network each while spaces are compared; as many as asked for where it is pinned."""
    few = {"networks": 1} if embedding.embedding == "auto" else {}
    return embedding.model_copy(update=few)


def other_spaces(embedding: EmbeddingOptions) -> list[str]:
    """Which spaces are measured beside the plain one."""
    return [name for name in SPACES if name != PLAIN and embedding.embedding in ("auto", name)]


def beside_of(
    audit: Audit,
    clean: pd.DataFrame,
    champion: SegmentModel | None,
    as_fitted: Mapping[str, Any],
) -> list[Candidate]:
    """The champion as a candidate, where there is one."""
    return [champion_candidate(audit, clean, champion, as_fitted)] if champion else []


def lead_over(
    beside: Sequence[Candidate], chosen: Candidate, reference: Reference, seed: int
) -> Lead | None:
    """How much more the chosen candidate explains than the champion, where there is one."""
    labels = chosen.partition.labels
    found = [explained_lead(reference.columns, b.partition.labels, labels, seed) for b in beside]
    return found[0] if found else None


def with_lead(table: pd.DataFrame, lead: Lead) -> pd.DataFrame:
    """The table with the chosen one's lead over the champion: 0 unless it is beyond chance."""
    sure = lead.lead if lead.lead > 2 * lead.error else 0.0
    return table.assign(lead=np.where(table["chosen"], sure, 0.0))


def told_of_champion(beside: Sequence[Candidate], lead: Lead | None) -> dict[str, Any] | None:
    """The champion's yardsticks this month, and the challenger's lead over it, as JSON values."""
    if not beside:
        return None
    led = {} if lead is None else {"lead": lead.lead, "lead_error": lead.error}
    return {"metrics": metrics_of(beside[0]), **led}


def nothing_stable(plain: Plain, beside: Sequence[Candidate], n_audited: int) -> Outcome:
    """The table without a choice, for the gate to refuse, or to say that the champion goes on."""
    table = table_of([*plain.candidates.values(), *beside], plain.null, plain.verdicts, None)
    nothing = {"k": None, "space": None, "champion": told_of_champion(beside, None)}
    return Outcome(table, log={**log_of(plain, 0, n_audited), **nothing})


def log_of(plain: Plain, pinned: int, n_audited: int) -> dict[str, Any]:
    """The choice of k in words, and what it rests on."""
    curve = lines_of(one for one in plain.candidates.values() if one.k in CURVE)
    return {
        "why": why_k(plain.by_rule, pinned),
        "pinned": bool(pinned),
        "elbow": elbow(curve),
        "audited": n_audited,
    }


def why_k(by_rule: Choice, pinned: int) -> str:
    """The choice of k in words; what was asked for is told apart from what the audit thinks."""
    if not pinned:
        return by_rule.why
    if by_rule.chosen == pinned:
        return f"{pinned}: as asked for, and the audit agrees; {by_rule.why}"
    if by_rule.chosen is None:
        return f"{pinned}: as asked for, but the audit finds {by_rule.why}"
    words = f"{pinned}: as asked for, but the audit would choose {by_rule.why}"
    own = by_rule.verdicts.get(pinned, "only 3 to 9 are open to the choice")
    return words if f"{pinned} fails" in words else f"{words}; {pinned}: {own}"


def figures_of(
    spaces: Mapping[str, Candidate], reference: Reference, options: SelectionOptions
) -> dict[str, SpaceFigures]:
    """What the rule for spaces reads: each on the same resamples."""
    figures = {}
    for name, one in spaces.items():
        told = one.partition.told.first(options.space_resamples)
        ari = np.array([resample.ari for resample in told.resamples])
        figures[name] = SpaceFigures(ari, left_out_eta_squared(reference, told))
    return figures


def confidence_curve(chosen: Candidate) -> pd.DataFrame:
    """From the distance between the two nearest centroids to confidence."""
    partition = chosen.partition
    return calibrate(gaps_of(np.asarray(partition.Z), partition.labels), partition.told.resamples)


def lines_of(candidates: Iterable[Candidate]) -> pd.DataFrame:
    """The candidates' figures, one line each."""
    return pd.DataFrame([one.line for one in candidates])


def table_of(
    candidates: Iterable[Candidate],
    null: pd.DataFrame,
    verdicts: Verdicts,
    chosen: Candidate | None,
) -> pd.DataFrame:
    """The selection stage: the candidates' figures, the null beside plain scaling, the verdicts."""
    everyone = list(candidates)
    table = lines_of(everyone)
    by_k = null.set_index("k")
    is_plain = table["space"] == PLAIN
    for name in by_k:
        table[name] = table["k"].map(by_k[name]).where(is_plain)
    return table.assign(
        agreement=[
            agreement(one.partition.labels, chosen.partition.labels) if chosen else NAN
            for one in everyone
        ],
        verdict=[verdicts.get((one.space, one.k), "") for one in everyone],
        chosen=[one is chosen for one in everyone],
    )


class Told:
    """Counts what is done, and tells."""

    def __init__(self, on_progress: Progress | None, total: int) -> None:
        self.on_progress, self.total, self.done = on_progress, total, 0

    def after(self, result: Any = None) -> Any:
        """One step more is done; gives its result back."""
        self.done += 1
        if self.on_progress:
            self.on_progress(self.done, self.total)
        return result

    def all(self) -> None:
        """Nothing is left to do."""
        if self.on_progress and self.done < self.total:
            self.on_progress(self.total, self.total)
