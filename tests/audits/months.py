"""Live through twelve synthetic months under both refits: ``python -m tests.audits.months``.

Every month is run by the monthly flow and published. In the last one 5 % of the customers, all of
the largest segment, are given rows of the second largest's. Then the reference table is refitted
under other seeds, with every number 5 % off.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from deployments.console import Shown
from deployments.ephemeral import quiet_environment
from expectations.errors import ResegmentError
from tasks.kmeans import near_champion, published_kmeans
from tasks.matching import match_segments, segment_id
from tasks.sample import draw_month
from tasks.scaling import ScalingOptions, scale_customers
from tasks.tracking import NOISE
from tests.audits.common import WIDTH, Figure, measured, one_by_one, reference_table, tell
from tests.audits.judges import CONTRACT, MONTH, ROWS

if TYPE_CHECKING:
    from prefect.states import State

    from tasks.run import Run

MONTHS, PLANTED = 12, 0.05
REFITS = ("auto", "always")
SEEDS, K = 5, 7
CUSTOMER = CONTRACT.id.column
COMPARED = ["stayed", "moved"]


class Plan(NamedTuple):
    """Who is given whose row, and which segments these and those are in."""

    customers: np.ndarray
    donors: np.ndarray
    source: str
    target: str


class MonthSeen(NamedTuple):
    """How a month went, beside the truth; shares are of the customers compared."""

    month: str
    k: int
    churn: float
    noise: float
    unplanted: float  # of those with no planted cause, the share who changed their segment
    planted: float
    recovered: float  # found to have gone that way, less those who were not planted
    behaviour: float
    adds_up: bool


def plan_move(published: pd.DataFrame, present: pd.Series, share: float, seed: int) -> Plan:
    """Choose at random who of the largest segment gets the row of whom in the second largest.

    Parameters
    ----------
    published : DataFrame
        Last month's assignments.
    present : Series
        Ids of this month's customers.
    share : float
        How many are chosen, as a part of this month's customers.
    seed : int
        Which ones.
    """
    rng = np.random.default_rng(seed)
    here = published[published["customer_id"].isin(present)]
    source, target = here["segment_id"].value_counts().index[:2]
    ids = {one: here.loc[here["segment_id"] == one, "customer_id"] for one in (source, target)}
    number = round(share * len(present))
    customers = rng.choice(ids[source].to_numpy(object), number, replace=False)
    donors = rng.choice(ids[target].to_numpy(object), number, replace=True)
    return Plan(customers, donors, source, target)


def give_rows(table: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """The table in which each chosen customer's row is that of a donor; ids stay."""
    of = pd.Series(table[CUSTOMER].to_numpy(), table[CUSTOMER])
    of.loc[plan.customers] = plan.donors
    return table.set_index(CUSTOMER).loc[of].set_axis(of.index).reset_index()


def months_of(number: int, last: pd.Period = MONTH) -> list[pd.Period]:
    """So many months in a row."""
    return list(pd.period_range(end=last, periods=number, freq="M"))


def live(
    folder: Path, rows: int, seed: int, months: Sequence[pd.Period], **asked_for: Any
) -> Iterator[MonthSeen]:
    """Publish month after month from a file each, with the planted move in the last.

    A month that is not published stops it with `ResegmentError`.
    """
    from flows.parameters import SegmentParameters
    from flows.segment import segment
    from tasks.runs import find_by_flow_run

    last: Run | None = None
    for month in months:
        drawn, plan = draw_month(rows, month, seed), None
        table = drawn.table
        if last is not None and month == months[-1]:
            plan = plan_move(stood(last), table[CUSTOMER], PLANTED, seed)
            table = give_rows(table, plan)
        path = folder / f"{month}.parquet"
        table.to_parquet(path, index=False)
        parameters = SegmentParameters.model_validate(
            {
                "source": {"uri": str(path)},
                "month": str(month),
                "seed": seed,
                "runs": str(folder / "runs"),
                "store": f"sqlite:///{folder / 'segments.db'}",
                **asked_for,
            }
        )
        state = segment(parameters, return_state=True)
        if not state.is_completed() or state.name != "Completed":
            raise ResegmentError(f"{month} is not published: {state.name}: {state.message}")
        run = find_by_flow_run(parameters.runs_folder, str(state.state_details.flow_run_id))
        if last is not None:
            yield seen(run, drawn.truth, plan, store=parameters.store_url)
        last = run


def stood(run: "Run") -> pd.DataFrame:
    """The assignments that a run has published."""
    moves = run.read(run.path("moves.parquet"))
    return moves[moves["status"] != "left"]


def seen(run: "Run", truth: pd.DataFrame, plan: Plan | None, store: str) -> MonthSeen:
    """Hold a published month against the truth about its customers."""
    moves = run.read(run.path("moves.parquet"))
    changes = run.log("publication")["changes"]
    compared = moves[moves["status"].isin(COMPARED)]
    is_moved = compared["status"] == "moved"
    is_planted = compared["customer_id"].isin([] if plan is None else plan.customers)
    causes = compared["customer_id"].map(truth.set_index(CUSTOMER)["cause"])
    unplanted = is_moved[~is_planted & (causes == "")]
    recovered, behaviour = np.nan, np.nan
    if plan is not None:
        goes = (compared["previous"] == plan.source) & (compared["segment_id"] == plan.target)
        recovered = float(goes.mean())
        behaviour = float((compared.loc[is_planted, "cause"] == "behaviour").mean())
    return MonthSeen(
        month=run.manifest["month"],
        k=len(run.log("publication")["segments"]),
        churn=float(is_moved.mean()),
        noise=changes["noise"]["share"],
        unplanted=float(unplanted.mean()),
        planted=float(is_planted.mean()),
        recovered=recovered,
        behaviour=behaviour,
        adds_up=adds_up(run, moves, store),
    )


def adds_up(run: "Run", moves: pd.DataFrame, url: str) -> bool:
    """Whether the published matrix has the sizes that last month was published with.

    And whether who stayed, moved, left or was not assessed then or now are last month's customers,
    and who stayed, moved, joined or is not assessed this month's.
    """
    from tasks import published
    from tasks.store import open_store

    store = open_store(url)
    rests = run.manifest["base"]
    matrix = published.migration_of(store, run.id)
    rows = matrix[matrix["was_assessed"].fillna(False)].groupby("previous")["customers"].sum()
    sizes = published.segments_of(store, rests["previous"]).set_index("segment_id")["size"]
    then = published.assignments_of(store, rests["previous"])
    now = published.assignments_of(store, run.id)
    counts = moves["status"].value_counts()
    rows = rows.reindex(sizes.index, fill_value=0)
    return bool(
        (rows == sizes).all()
        and matrix.loc[matrix["was_assessed"].notna(), "customers"].sum() == len(then)
        and len(now) == len(moves) - counts.get("left", 0)
        and len(then) == len(moves) - counts.get("joined", 0)
    )


def kept_after_refit(clean: pd.DataFrame, seed: int) -> tuple[float, float]:
    """Share of customers who keep their id in a refit under another seed, each number 5 % off.

    Returns
    -------
    tuple of float
        With the customers' own numbers given to both models, and with the noisy ones given to the
        refit: then who only lies at a boundary counts, too.
    """
    scaled, learned, log = scale_customers(clean, CONTRACT, ScalingOptions())
    X = scaled[log["features"]].to_numpy()
    first = published_kmeans(X, K, 0, "none")
    labels = first.predict(X)
    ids = np.array([segment_id(number) for number in range(1, K + 1)], dtype=object)
    noisy = disturbed(clean, seed)
    again, refitted, log = scale_customers(noisy, CONTRACT, ScalingOptions(), log["features"])
    Z = again[log["features"]].to_numpy()
    by_first = first.predict(learned["scaler.skops"].transform(noisy))
    second = near_champion(published_kmeans(Z, K, seed, "none"), Z, by_first)
    found = np.array(match_segments(second.predict(Z), ids[by_first], K, K).ids, dtype=object)
    own = second.predict(refitted["scaler.skops"].transform(clean))
    kept = [float(np.mean(found[one] == ids[labels])) for one in (own, second.predict(Z))]
    return kept[0], kept[1]


def disturbed(clean: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The customers with each of their numbers 5 % off."""
    numeric = list(CONTRACT.numeric)
    factors = np.exp(np.random.default_rng(seed).normal(0, NOISE, (len(clean), len(numeric))))
    return clean.assign(**{name: clean[name] * factors[:, at] for at, name in enumerate(numeric)})


def figures_of(months: Sequence[MonthSeen]) -> list[Figure]:
    """What is asked of months in a row."""
    beyond = float(np.median([one.unplanted - one.noise for one in months]))
    last = months[-1]
    return [
        measured("share without a cause who moved", [one.unplanted for one in months], digits=4),
        measured("the noise floor", [one.noise for one in months], digits=4),
        measured("median beyond the floor", [beyond], high=0.02, digits=4),
        measured("planted move recovered", [last.recovered - last.planted], -0.01, 0.01, digits=4),
        measured("its cause is behaviour", [last.behaviour], low=0.9),
        measured("months that add up", [float(one.adds_up) for one in months], low=1, digits=2),
    ]


def table_of(title: str, months: Sequence[MonthSeen]) -> Table:
    """One line per month."""
    table = Table(*(name.replace("_", " ") for name in MonthSeen._fields), title=title)
    for one in months:
        shares = (one.churn, one.noise, one.unplanted, one.planted, one.recovered, one.behaviour)
        cells = ["" if np.isnan(share) else f"{share:.2%}" for share in shares]
        table.add_row(one.month, str(one.k), *cells, "yes" if one.adds_up else "NO")
    return table


def lived(
    rows: int, number: int, every: Sequence[tuple[str, int]], console: Console
) -> dict[tuple[str, int], list[MonthSeen]]:
    """Live through so many months under each refit and seed, on one Prefect server of our own.

    One that stops is told, and has no months.
    """
    from deployments.running import run_flow

    found: dict[tuple[str, int], list[MonthSeen]] = {}

    def prepare() -> "Callable[[], State]":
        from prefect.states import Completed

        from expectations import gate

        gate.prepare()

        def call() -> "State":
            for refit, seed in one_by_one(f"{number} months", every):
                with tempfile.TemporaryDirectory() as folder:
                    months = live(Path(folder), rows, seed, months_of(number), refit=refit)
                    try:
                        found[refit, seed] = list(months)
                    except ResegmentError as stopped:
                        console.print(f"--refit {refit}, seed {seed}: {stopped}")
                        found[refit, seed] = []
            return Completed()

        return call

    run_flow(prepare, Shown(as_json=True), debug=False)
    return found


def main(argv: Sequence[str] = ()) -> bool:
    """Live through the months and refit the reference table; whether all bounds hold."""
    os.environ.update(quiet_environment(os.environ))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N")
    parser.add_argument("--months", type=int, default=MONTHS)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--refit", nargs="+", choices=REFITS, default=REFITS)
    given = parser.parse_args(argv)
    console = Console(width=WIDTH, highlight=False)
    every = [(refit, seed) for refit in given.refit for seed in given.seeds]
    clean, holds = reference_table(), []
    for (refit, seed), months in lived(given.rows, given.months, every, console).items():
        title = f"{given.months} months of {given.rows:,} customers, --refit {refit}, seed {seed}"
        if months:
            console.print(table_of(title, months))
        holds.append(bool(months) and tell(title, figures_of(months)))
    kept = [kept_after_refit(clean, seed) for seed in range(1, SEEDS + 1)]
    figures = [
        measured("keep their id, own numbers", [own for own, _ in kept], low=0.98, each=True),
        measured("keep their id, numbers off", [noisy for _, noisy in kept], low=0.98, each=True),
    ]
    holds.append(tell(f"The reference table refitted under {SEEDS} seeds, 5 % noise", figures))
    return all(holds)


if __name__ == "__main__":
    raise SystemExit(not main(sys.argv[1:]))
