"""Every candidate on one line, the plain rule among them, and the one that is chosen."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from expectations.contract import Contract
from expectations.errors import InputError
from tasks.audit import Audit, Candidate, audit_sample
from tasks.confidence import calibrate, gaps_of
from tasks.embedding import SPACES, EmbeddingOptions, fit_space
from tasks.outcome import Outcome
from tasks.plain_rule import PlainRule, PlainRuleOptions, judge_plain_rule
from tasks.scaling import business_columns
from tasks.seeds import child_seed
from tasks.selection import (
    CHOICE,
    CURVE,
    Choice,
    SelectionOptions,
    SpaceFigures,
    choose_k,
    choose_space,
    elbow,
)
from tasks.yardsticks import NAN, Partition, Reference, agreement, left_out_eta_squared

PLAIN = "none"
RULE, TUNED_RULE = "plain rule", "plain rule, tuned"
NEVER_REFITTED = {"bootstrap_ari": 1.0, "worst_jaccard": 1.0, "survival": 1.0, "resamples": 0.0}

OF_THE_RULE = ("verdict", "says", "lead", "lead_error", "excesses")

Progress = Callable[[int, int], None]


def select_segments(
    scaled: pd.DataFrame,
    clean: pd.DataFrame,
    contract: Contract,
    options: SelectionOptions,
    embedding: EmbeddingOptions,
    plain_rule: PlainRuleOptions,
    seed: int,
    on_progress: Progress | None = None,
) -> Outcome:
    """Measure every candidate and choose one.

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
    with threadpool_limits(1):  # candidates share the cores, not their sums
        return _select(scaled, clean, contract, options, embedding, plain_rule, seed, on_progress)


def _select(
    scaled: pd.DataFrame,
    clean: pd.DataFrame,
    contract: Contract,
    options: SelectionOptions,
    embedding: EmbeddingOptions,
    plain_rule: PlainRuleOptions,
    seed: int,
    on_progress: Progress | None,
) -> Outcome:
    X = scaled.drop(columns=contract.id.column).to_numpy()  # (n_customers, n_features)
    ks = possible_ks(options.segments, len(X))
    others = [name for name in SPACES if name != PLAIN and embedding.embedding in ("auto", name)]
    told = Told(on_progress, len(ks) + len(others) + 3)
    rows = audit_sample(X, options.audit_rows, seed)
    audit = Audit(reference_of(X, clean, contract, rows, seed), X[rows], embedding, seed)
    plain = audit.curve(ks, audited(ks, options), options.resamples, told.after)
    null = told.after(audit.null_curve(ks))
    by_rule = choose_k(lines_of(plain.values()), options)
    k = options.segments or by_rule.chosen
    log: dict[str, Any] = {
        "k": k,
        "why": why_k(by_rule, options.segments),
        "pinned": bool(options.segments),
        "elbow": elbow(lines_of(one for one in plain.values() if one.k in CURVE)),
        "audited": len(rows),
    }
    verdicts = {(PLAIN, number): words for number, words in by_rule.verdicts.items()}
    if k is None:
        told.all()
        table = table_of(plain.values(), null, verdicts, None)
        return Outcome(table, log={**log, "space": None})
    spaces = {PLAIN: plain[k]}
    spaces |= {name: told.after(audit.space(name, k, options.space_resamples)) for name in others}
    compared = choose_space(figures_of(spaces, audit.reference, options), options)
    is_pinned = embedding.embedding != "auto"
    chosen = spaces[embedding.embedding if is_pinned else compared.chosen]
    verdicts |= {(name, k): words for name, words in compared.verdicts.items()}
    judged = judge(audit, clean.iloc[rows], contract, chosen, plain_rule)
    told.after()
    everyone = [
        *plain.values(),
        *(spaces[name] for name in others),
        *rule_candidates(audit, judged),
    ]
    verdicts |= {(TUNED_RULE, one.k): judged.says for one in everyone if judged}
    transformer = fit_space(
        chosen.space, X[rows], embedding, child_seed(seed, "embedding", chosen.space)
    )
    told.all()
    log |= {
        "space": chosen.space,
        "why_space": f"{chosen.space}: as asked for" if is_pinned else compared.why,
        "metrics": chosen.line,
        "plain_rule": judged and {name: getattr(judged, name) for name in OF_THE_RULE},
    }
    learned = {"embedding.skops": transformer, "confidence.parquet": confidence_curve(chosen)}
    return Outcome(table_of(everyone, null, verdicts, chosen), learned, log)


def reference_of(
    X: np.ndarray, clean: pd.DataFrame, contract: Contract, rows: np.ndarray, seed: int
) -> Reference:
    """The audit's customers, as every candidate is measured on them."""
    raw = clean.iloc[rows]
    return Reference(
        X[rows],
        columns=business_columns(raw, contract).to_numpy(),
        raw=raw[list(contract.numeric)].to_numpy(float),
        seed=child_seed(seed, "folds"),
        is_sample=len(rows) < len(X),
    )


def possible_ks(segments: int, n_customers: int) -> list[int]:
    """Each k that is tried: those of the curve and the one asked for, below n_customers."""
    asked_for = max(segments, 2)
    if asked_for >= n_customers:
        raise InputError(
            f"selection: {n_customers:,} customers cannot be told apart into {asked_for} segments. "
            "Send more customers, or ask for fewer segments."
        )
    return sorted({k for k in CURVE if k < n_customers} | {asked_for})


def audited(ks: Sequence[int], options: SelectionOptions) -> dict[int, int | None]:
    """Which k are resampled, and how often a segment may be missed before its k is given up."""
    choice: dict[int, int | None] = {k: options.may_fail for k in ks if k in CHOICE}
    return choice | ({options.segments: None} if options.segments else {})


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


def judge(
    audit: Audit,
    clean: pd.DataFrame,
    contract: Contract,
    chosen: Candidate,
    options: PlainRuleOptions,
) -> PlainRule | None:
    """Whether the chosen segments deserve their complexity; nothing without personas."""
    reference, labels = audit.reference, chosen.partition.labels
    return judge_plain_rule(
        clean,
        contract.personas,
        reference.X,
        reference.columns,
        labels,
        chosen.k,
        options,
        audit.seed,
    )


def rule_candidates(audit: Audit, judged: PlainRule | None) -> list[Candidate]:
    """The plain rule as the contract writes it, and with tuned cutoffs."""
    if judged is None:
        return []
    found = []
    for name, labels in ((RULE, judged.written_labels), (TUNED_RULE, judged.tuned_labels)):
        groups, compact = np.unique(labels, return_inverse=True)
        partition = Partition(compact, len(groups))
        line = audit.line(partition, name) | NEVER_REFITTED
        found.append(Candidate(name, len(groups), partition, line))
    return found


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
    verdicts: Mapping[tuple[str, int], str],
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
