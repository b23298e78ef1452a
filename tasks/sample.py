"""A synthetic month of card holders that behaves like the reference table, with its planted truth.

Every customer has one of seven usage patterns. A pattern is a set of marginal distributions tied
together by a Gaussian copula. `sample_calibration.json` holds the figures, measured per pattern on
the reference table of 8,950 card holders: its weight, the leavers among 10,000 customers in a
month, the share without a payment, quantiles, and the correlations (x 100, lower triangle row by
row, in the order of `LATENTS`) whose draws have the reference's Spearman correlations.

Columns and pairs of columns come close; all 17 together do not: a boosted-tree discriminator
(HistGradientBoostingClassifier, 5 folds, 8,950 real against 8,950 drawn rows of 2026-10, seed 0)
tells real from drawn rows with an AUC of .80. Test and show the pipeline with these tables; learn
nothing about card holders from them.
"""

import functools
import json
import pathlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FIRST_MONTH = pd.Period("2000-01", "M")
MAX_ROWS = 80_000
SUFFIXES = (".csv", ".csv.gz", ".parquet")
PATTERNS = (
    "cash",
    "instalments",
    "instalments + cash",
    "one-off",
    "one-off + cash",
    "one-off + instalments",
    "one-off + instalments + cash",
)
PRODUCTS = {
    "ONEOFF_PURCHASES": "ONEOFF_PURCHASES_FREQUENCY",
    "INSTALLMENTS_PURCHASES": "PURCHASES_INSTALLMENTS_FREQUENCY",
    "CASH_ADVANCE": "CASH_ADVANCE_FREQUENCY",
}
# CREDIT_LIMIT is drawn as a rank among all limits, UTILISATION (balance / limit) for BALANCE, and
# the two *_TRX per month with a transaction.
LATENTS = (
    "TENURE",
    "CREDIT_LIMIT",
    "UTILISATION",
    "BALANCE_FREQUENCY",
    "PAYMENTS",
    "MINIMUM_PAYMENTS",
    "PRC_FULL_PAYMENT",
    *(column for product in PRODUCTS.items() for column in product),
    "PURCHASES_FREQUENCY",
    "PURCHASES_TRX",
    "CASH_ADVANCE_TRX",
)
_IDS = 100_000  # as many as C[0-9]{5} can tell apart
_SHORTEST, _LONGEST = 6, 12  # TENURE, months
_TURN = 0.015  # radians a month
# Uniform numbers per customer: two per latent, the place among those of the same tenure, the lot
# that decides on a move, its target. Philox counts in fours, which makes 36.
_PLACE, _LOT, _TARGET, _UNIFORMS = 32, 33, 34, 36
_GOLDEN = (5**0.5 - 1) / 2


class SyntheticMonth(NamedTuple):
    """A month's table and what was planted in it; both have one row per customer, by CUST_ID.

    `table` has CUST_ID and the 17 columns of the reference. `truth` has CUST_ID, `pattern`,
    `previous_pattern` (last month's; null for who has just joined), `cause` of a change since
    last month ("moved"; "aged" where TENURE has grown; else ""), `joined_month`, `last_month`
    (the last with this customer) and `moved_month` (null for who never was); months as YYYY-MM.
    """

    table: pd.DataFrame
    truth: pd.DataFrame


@dataclass(frozen=True)
class Moves:
    """Customers whose usage pattern changes in `month`, and stays changed.

    Each customer with pattern `source` (None: any) who was there the month before moves with
    probability `share` to `target` (None: one of the others, each as likely). Tenure, and luck in
    what both patterns have, stay with the customer.
    """

    month: pd.Period
    share: float
    source: str | None = None
    target: str | None = None

    def __post_init__(self) -> None:
        """Refuse a share outside 0..1, an unknown pattern, and a move to where one already is."""
        _months_since_first(self.month)
        if not 0 <= self.share <= 1:
            raise ValueError(f"share of moves is {self.share}; give one between 0 and 1.")
        for name in (self.source, self.target):
            if name is not None and name not in PATTERNS:
                raise ValueError(f"no usage pattern {name!r}; there are: {', '.join(PATTERNS)}.")
        if self.source is not None and self.source == self.target:
            raise ValueError(f"moves from {self.source!r} to itself; give another target.")


def draw_month(rows: int, month: pd.Period, seed: int, *moves: Moves) -> SyntheticMonth:
    """Draw the table of one month, the same whatever other months are drawn.

    Each month about 2 % of customers join and as many leave. Under a segmentation fitted a month
    ago (k = 7, log space, eleven columns) about .6 % of those neither moved nor aged change their
    segment, and 19 % of the aged.

    Parameters
    ----------
    rows
        Customers in the month, 1 to 80,000. An id returns as another customer after 38 years at
        8,950 rows, and after 11 months at 80,000.
    month
        Monthly period, 2000-01 or later; a late one costs no more than an early one.
    seed
        Not negative.
    *moves
        Planted moves, in any order; the rows of all others are the same as without them.

    Raises
    ------
    ValueError
        If an argument is outside these limits.
    """
    if not 1 <= rows <= MAX_ROWS:
        raise ValueError(
            f"rows is {rows:,}; give 1 to {MAX_ROWS:,}, as ids of the form C00000 can tell no more "
            "customers apart while they join and leave."
        )
    if seed < 0:
        raise ValueError(f"seed is {seed}; give 0 or more.")
    people = _people(rows, _months_since_first(month), seed)
    pattern, truth = _plant(people, moves)
    latents = _latents(people)  # (rows, 16)
    parts = []
    for index in np.unique(pattern):
        chosen = np.flatnonzero(pattern == index)
        columns = _behaviour(_patterns()[index], latents[chosen], people.tenure[chosen])
        parts.append(pd.DataFrame(columns, index=chosen))
    table = pd.concat(parts).sort_index()[_figures()["columns"]].round(6)
    table.insert(0, "CUST_ID", truth.CUST_ID)
    order = np.argsort(people.ids)
    return SyntheticMonth(*(frame.iloc[order].reset_index(drop=True) for frame in (table, truth)))


def write_sample(
    output: pathlib.Path, rows: int, month: pd.Period, seed: int, *moves: Moves
) -> tuple[pathlib.Path, pathlib.Path]:
    """Write a synthetic month as CSV, CSV.gz or Parquet, and its truth beside it.

    Returns
    -------
    tuple of Path
        The table, and `<stem>.truth.parquet` or `<stem>.truth.csv`. Each appears as a whole or
        not at all, the truth first; the same arguments give the same bytes.

    Raises
    ------
    ValueError
        If the file is none of the three kinds, or `draw_month` refuses an argument.
    """
    suffix = next((end for end in SUFFIXES if output.name.endswith(end)), None)
    if suffix is None:
        raise ValueError(f"{output.name} ends in none of {', '.join(SUFFIXES)}; choose one.")
    if output.is_dir():
        raise ValueError(f"{output} is a folder; give the name of a file.")
    sample = draw_month(rows, month, seed, *moves)
    stem = output.name.removesuffix(suffix)
    truth = output.with_name(f"{stem}.truth{suffix.removesuffix('.gz')}")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".sample-") as folder:
        for frame, path in ((sample.truth, truth), (sample.table, output)):
            _write(frame, pathlib.Path(folder, path.name))
        for path in (truth, output):
            pathlib.Path(folder, path.name).replace(path)
    return output, truth


def _write(frame: pd.DataFrame, path: pathlib.Path) -> None:
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        packing = {"method": "gzip", "mtime": 0} if path.suffix == ".gz" else None
        frame.to_csv(path, index=False, lineterminator="\n", compression=packing)


def _months_since_first(month: pd.Period) -> int:
    if month.freqstr != "M":
        raise ValueError(f"{month} is a period of {month.freqstr}; give a month (YYYY-MM).")
    if month < FIRST_MONTH:
        raise ValueError(f"month is {month}; synthetic months begin with {FIRST_MONTH}.")
    return month.ordinal - FIRST_MONTH.ordinal


class _People(NamedTuple):
    """Customers of month `now`; months count from FIRST_MONTH, arrays have one row per customer."""

    now: int
    ids: NDArray[np.str_]
    home: Ints  # index of the pattern that the customer joined with
    joined: Ints
    left: Ints  # the first month without the customer
    uniforms: Floats  # (rows, _UNIFORMS)

    @property
    def tenure(self) -> Ints:
        return np.minimum(_SHORTEST + self.now - self.joined, _LONGEST)


def _people(rows: int, now: int, seed: int) -> _People:
    """Open this month's window on each pattern's customers, numbered as they join.

    So the longest-standing leave, and every month is reached without those before it.
    """
    weights = np.cumsum([0, *(pattern.weight for pattern in _patterns())])
    sizes = np.diff(np.round(weights / weights[-1] * rows)).astype(np.int64)
    rates = sizes * [pattern.turnover for pattern in _patterns()]  # joiners in 10,000 months
    pools = sizes + (_IDS - rows) * rates // rates.sum()  # ids of all patterns rest equally long
    blocks = []
    for home in np.flatnonzero(sizes).tolist():
        size, rate = int(sizes[home]), int(rates[home])
        first = now * rate // 10_000
        number = first + np.arange(size)
        stream = np.random.Philox(np.random.SeedSequence([seed, home]))
        uniforms = np.random.Generator(stream.advance(first * _UNIFORMS // 4))
        # 61,803 is prime to _IDS: ids tell neither pattern nor seniority.
        ids = (pools[:home].sum() + number % pools[home]) * 61_803 % _IDS
        joined = -((size - 1 - number) * 10_000 // rate)
        left = -(-(number + 1) * 10_000 // rate)
        block = (np.char.mod("C%05d", ids), np.full(size, home), joined, left)
        blocks.append((*block, uniforms.random((size, _UNIFORMS))))
    return _People(now, *(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def _plant(people: _People, moves: Iterable[Moves]) -> tuple[Ints, pd.DataFrame]:
    """Index of each customer's pattern (rows,) after planted moves, and the truth about it."""
    now, names = people.now, np.array(PATTERNS)
    pattern = previous = people.home
    moved_month = np.full(len(pattern), None, dtype=object)
    for number, planted in enumerate(sorted(moves, key=lambda one: one.month)):
        if (since := _months_since_first(planted.month)) > now:
            break
        after = _after_moves(people, pattern, planted, number)
        moved_month[after != pattern] = str(planted.month)
        previous = previous if since == now else after
        pattern = after
    stayed = people.joined < now
    aged = stayed & (now - people.joined <= _LONGEST - _SHORTEST)
    truth = pd.DataFrame(
        {
            "CUST_ID": people.ids,
            "pattern": names[pattern],
            "previous_pattern": pd.Series(names[previous]).where(stayed),
            "cause": np.select([pattern != previous, aged], ["moved", "aged"], ""),
            "joined_month": _iso(people.joined),
            "last_month": _iso(people.left - 1),
            "moved_month": pd.Series(moved_month, dtype="str"),
        }
    )
    return pattern, truth


def _after_moves(people: _People, pattern: Ints, moves: Moves, number: int) -> Ints:
    """Index of each customer's pattern (rows,) after one of the moves, which has this number.

    Lots are turned by the golden ratio from one to the next, so that it does not hit the same.
    """
    if moves.target is None:
        others = len(PATTERNS) - 1
        steps = 1 + (people.uniforms[:, _TARGET] * others).astype(np.int64)
        target = (pattern + steps) % (others + 1)
    else:
        target = np.full_like(pattern, PATTERNS.index(moves.target))
    lots = (people.uniforms[:, _LOT] + number * _GOLDEN) % 1
    moved = (people.joined < _months_since_first(moves.month)) & (lots < moves.share)
    moved &= np.isin(np.array(PATTERNS)[pattern], moves.source or PATTERNS)
    return np.where(moved, target, pattern)


def _iso(months: Ints) -> NDArray[np.str_]:
    return np.datetime_as_string(np.datetime64(str(FIRST_MONTH), "M") + months)


def _latents(people: _People) -> Floats:
    """Independent standard normal values (rows, 16), nearly the same from month to month.

    Box-Muller with an angle that turns slowly: normal in every month, and months h apart have
    correlation cos(_TURN * h). The first latent, TENURE, is the customer's place among the rows
    of the same tenure.
    """
    latents = len(LATENTS)
    radius = np.sqrt(-2 * np.log1p(-people.uniforms[:, :latents]))
    angle = 2 * np.pi * people.uniforms[:, latents : 2 * latents] + _TURN * people.now
    z: Floats = radius * np.cos(angle)
    shares = np.array([pattern.turnover for pattern in _patterns()])[people.home] / 10_000
    below = (people.tenure - _SHORTEST) * shares
    width = np.where(people.tenure == _LONGEST, 1 - below, shares)
    z[:, 0] = ndtri(np.clip(below + people.uniforms[:, _PLACE] * width, 1e-9, 1 - 1e-9))
    return z


class _Pattern(NamedTuple):
    weight: float
    turnover: int  # leavers among 10,000 customers in a month
    no_payment: float
    latents: Ints  # indices into LATENTS
    mixing: Floats  # from independent to correlated latents, lower triangle
    knots: dict[str, tuple[Floats, Floats]]  # from standard normal to log1p of the value


@functools.cache
def _figures() -> dict[str, Any]:
    path = pathlib.Path(__file__).with_name("sample_calibration.json")
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return figures


@functools.cache
def _patterns() -> tuple[_Pattern, ...]:
    return tuple(_read_pattern(_figures()["patterns"][name]) for name in PATTERNS)


def _read_pattern(figures: dict[str, Any]) -> _Pattern:
    quantiles = figures["quantiles"]
    latents = [index for index, name in enumerate(LATENTS) if name in {"TENURE", *quantiles}]
    lower = np.zeros((len(latents), len(latents)))
    lower[np.tril_indices_from(lower, -1)] = np.array(figures["correlations"]) / 100
    # Rounded correlations need not be positive definite.
    values, vectors = np.linalg.eigh(lower + lower.T + np.eye(len(latents)))
    root = vectors * np.sqrt(np.clip(values, 1e-6, None))
    root /= np.linalg.norm(root, axis=1, keepdims=True)
    return _Pattern(
        weight=figures["weight"],
        turnover=figures["turnover"],
        no_payment=figures["no_payment"],
        latents=np.array(latents),
        mixing=np.linalg.cholesky(root @ root.T),
        knots={name: _with_tails(np.log1p(known)) for name, known in quantiles.items()},
    )


def _with_tails(known: Floats) -> tuple[Floats, Floats]:
    """Continue beyond the outer quantiles, half as steeply, to four standard deviations."""
    z = ndtri(_figures()["probabilities"])
    slopes = np.diff(known) / np.diff(z) / 2
    low, high = known[0] - slopes[0] * (z[0] + 4), known[-1] + slopes[-1] * (4 - z[-1])
    return np.array([-4, *z, 4]), np.array([low, *known, high])


def _behaviour(pattern: _Pattern, latents: Floats, tenure: Ints) -> dict[str, Floats | Ints]:
    """Turn latents (customers, 16) of one pattern into the 17 columns, fitted to each other."""
    levels = _levels(pattern, latents)
    unused = np.zeros(len(latents))
    columns = _account(levels, tenure)
    for amount, frequency in PRODUCTS.items():
        used = amount in levels
        columns[amount] = np.maximum(levels[amount], 0.01).round(2) if used else unused
        columns[frequency] = _snap(levels[frequency], tenure, least=1) if used else unused
    columns["PURCHASES"] = columns["ONEOFF_PURCHASES"] + columns["INSTALLMENTS_PURCHASES"]
    one_off = columns["ONEOFF_PURCHASES_FREQUENCY"]
    instalments = columns["PURCHASES_INSTALLMENTS_FREQUENCY"]
    columns["PURCHASES_FREQUENCY"] = np.clip(
        _snap(levels.get("PURCHASES_FREQUENCY", unused), tenure),
        np.maximum(one_off, instalments),
        # In the reference, instalments often show one month more here than in their own column.
        np.minimum(one_off + instalments + (instalments > 0) / tenure, 1),
    )
    for product in ("PURCHASES", "CASH_ADVANCE"):
        months = np.round(columns[f"{product}_FREQUENCY"] * tenure)
        count = np.round(levels.get(f"{product}_TRX", unused) * months)
        columns[f"{product}_TRX"] = np.maximum(count, months).astype(np.int64)
    return columns


def _levels(pattern: _Pattern, latents: Floats) -> dict[str, Floats]:
    """Values (customers,) of each of the pattern's latents by its own distribution."""
    mixed = latents[:, pattern.latents] @ pattern.mixing.T
    z = {LATENTS[index]: mixed[:, place] for place, index in enumerate(pattern.latents)}
    rank = (ndtr(z["PAYMENTS"]) - pattern.no_payment) / (1 - pattern.no_payment)
    z["PAYMENTS"] = ndtri(np.maximum(rank, 0))  # its quantiles are those of who pays
    levels = {name: np.expm1(np.interp(z[name], *knots)) for name, knots in pattern.knots.items()}
    return levels | {"PAYMENTS": np.where(rank > 0, np.maximum(levels["PAYMENTS"], 0.01), 0)}


def _account(levels: dict[str, Floats], tenure: Ints) -> dict[str, Floats | Ints]:
    """Draw the columns that every pattern has."""
    limits, shares = (np.array(column) for column in zip(*_figures()["limits"], strict=True))
    limit = limits[np.searchsorted(shares, np.clip(levels["CREDIT_LIMIT"], 0, 1))]
    active = _snap(levels["BALANCE_FREQUENCY"], tenure - 1)
    balance = np.clip(levels["UTILISATION"], 1e-6, 1.4) * limit
    payments, full = levels["PAYMENTS"], levels["PRC_FULL_PAYMENT"]
    bills = np.round(active * (tenure - 1)) + 1
    minimum = np.maximum(levels["MINIMUM_PAYMENTS"], 0.01)
    return {
        "TENURE": tenure,
        "CREDIT_LIMIT": limit,
        "BALANCE": np.where(active > 0, balance, 0),
        "BALANCE_FREQUENCY": active,
        "PAYMENTS": payments,
        "MINIMUM_PAYMENTS": np.where((payments > 0) & (active > 0), minimum, np.nan),
        "PRC_FULL_PAYMENT": np.where((payments > 0) & (full > 0), _snap(full, bills, least=1), 0),
    }


def _snap(share: Floats, months: Floats | Ints, least: int = 0) -> Floats:
    """Nearest share that is a whole number of these months, and at least `least` of them."""
    return np.clip(np.round(share * months), least, months) / months
