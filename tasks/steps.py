"""Every Prefect task, a few lines each: read, call, commit."""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from expectations import rules
from expectations.errors import ResegmentError
from expectations.rules import Limits
from tasks import (
    amending,
    artifacts,
    base,
    delivering,
    explaining,
    exploration,
    figures,
    ingestion,
    reporting,
    sample,
)
from tasks.candidates import select_segments
from tasks.champion import MIN_LEAD, embed_by_champion, measure_champion, scale_by_champion
from tasks.cleaning import clean_customers
from tasks.clustering import CHAMPION, assign_by_champion, cluster_customers
from tasks.embedding import EmbeddingOptions, embed_customers
from tasks.figures_changes import draw_causes, draw_migration
from tasks.figures_maps import draw_map_of
from tasks.figures_notebook import draw_notebook
from tasks.figures_selection import draw_selection
from tasks.ingestion import Fetched, SourceOptions
from tasks.notebook import scale_as_notebook, select_as_notebook
from tasks.outcome import Outcome
from tasks.palette import hex_of
from tasks.plain_rule import PlainRuleOptions
from tasks.products import next_products
from tasks.publication import publish_segments
from tasks.querying import fetch_query
from tasks.report import render_report
from tasks.run import QUARANTINE, Run
from tasks.scaling import ScalingOptions, left_out_in_words, scale_customers
from tasks.selection import SelectionOptions, chosen_in_words
from tasks.store import open_store
from tasks.typicality import TypicalityOptions

CHAMPION_FILE = "base/champion.skops"
OFFERS = "offers.parquet"


@task(cache_policy=NO_CACHE)
def rest(url: str, run: Run) -> None:
    """Ask the store at `url` what this month rests on, once, and keep the answer with the run."""
    if "base" in run.manifest:
        return
    if _is_notebook(run):  # it is compared with nothing, and never published
        run.note(base=dict(base.FIRST_MONTH))
        return
    month = pd.Period(run.manifest["month"], "M")
    found = base.rests_on(_store(url, run), month, run.contract, run.asked_for["refit"])
    for name, part in found.parts.items():
        run.attach(f"base/{name}", lambda part=part: part)
    run.note(base=found.facts, model=found.facts["whose"])


@task(cache_policy=NO_CACHE)
def read(uri: str, url: str, run: Run, password: str | None = None) -> Path:
    """Read the source at `uri`; who objects, or is forgotten by the store at `url`, leaves at once.

    `password` is that of a database as source. Raises `NothingToDo` where the month was published
    from the same content and parameters.
    """
    source, limits = SourceOptions(**run.asked_for["source"]), _limits(run)
    try:
        fetched = _fetch(uri, source, password, run)
    except ResegmentError:
        if not run.has("raw"):
            raise
        return run.path("raw")  # the source is gone, but this run has read it before
    base.refuse_repeated(fetched.sha256, run.manifest)
    asked = (
        *rules.raw_rules(run.contract, limits, run.manifest["base"]["rows"]),
        *_against_last_month(run, limits),
    )
    forgotten = base.tombstones_of(_store(url, run))
    hash_of = forgotten.hash_of if forgotten.secret else None  # a store remembers who objects
    return run.commit(
        "raw",
        partial(ingestion.read_customers, hash_of=hash_of),
        fetched,
        run.contract,
        source,
        forgotten,
        rules=lambda *_: asked,
    )


@task(cache_policy=NO_CACHE)
def explore(raw: Path, run: Run) -> list[Path]:
    """Missing values, distributions and correlations, with figures."""
    contract, min_cell = run.contract, _limits(run).min_cell
    tables: dict[str, tuple] = {
        "missing": (exploration.missing_values, raw, contract, min_cell),
        "distributions": (exploration.distributions, raw, contract, min_cell),
        "correlations": (exploration.correlations, raw, contract),
        "quantiles": (exploration.quantiles, raw, contract),
    }
    kept = {name: run.attach(f"exploration/{name}.parquet", *made) for name, made in tables.items()}
    drawn = {
        "missing": figures.draw_missing,
        "distributions": figures.draw_distributions,
        "correlations": figures.draw_correlations,
    }
    return [run.attach(f"figures/{name}.svg", draw, kept[name]) for name, draw in drawn.items()]


@task(cache_policy=NO_CACHE)
def clean(raw: Path, run: Run) -> Path:
    """Set broken rows aside, fill the gaps the contract allows."""
    kept = run.manifest["rows"]["kept"]
    return run.commit(
        "clean",
        clean_customers,
        raw,
        run.contract,
        "mean" if _is_notebook(run) else "median",
        rules=lambda *_: rules.clean_rules(run.contract, kept),
    )


@task(cache_policy=NO_CACHE)
def scale(clean: Path, run: Run) -> Path:
    """Pick the features, log1p by kind, standardise; or take the champion's as they are."""
    fit = run.manifest["base"]["fit"]
    fitted = fit != base.NO_FIT

    def asked(made: Outcome, clean: pd.DataFrame, *_: Any) -> tuple:
        id_column = run.contract.id.column
        left_out = left_out_in_words(made.log["dropped"])
        features = tuple(made.log["features"])
        return rules.scaled_rules(clean[id_column], id_column, features, left_out, fitted)

    if _is_notebook(run):
        return run.commit("scaled", scale_as_notebook, clean, run.contract, rules=asked)
    if not fitted:
        inputs = clean, run.contract.id.column, run.path(CHAMPION_FILE)
        return run.commit("scaled", scale_by_champion, *inputs, rules=asked)
    options = ScalingOptions(**run.asked_for["scaling"])
    features = run.read(run.path(CHAMPION_FILE)).features if fit == base.IN_ITS_SPACE else []
    return run.commit(
        "scaled", scale_customers, clean, run.contract, options, features, rules=asked
    )


@task(cache_policy=NO_CACHE)
def select(scaled: Path, clean: Path, run: Run) -> Path:
    """Measure every candidate and the champion, choose the number of segments and the space."""
    options, seed = SelectionOptions(**run.asked_for["selection"]), run.asked_for["seed"]
    rests, champion = run.manifest["base"], run.part(CHAMPION_FILE)

    def asked(made: Outcome, *_: Any) -> tuple:
        thresholds = options.min_smallest_share, options.min_survival, options.min_bootstrap_ari
        pinned = made.log["k"] if made.log["pinned"] else 0
        goes_on = rests["whose"] == CHAMPION
        if made.log["k"] is None:
            why = made.log["why"]
            return rules.selection_rules(*thresholds, pinned, nothing=why, goes_on=goes_on)
        said = chosen_in_words(made.log)
        lead = (rules.lead_rule(MIN_LEAD),) if "lead" in made.table else ()
        return *rules.selection_rules(*thresholds, pinned, chosen=said, goes_on=goes_on), *lead

    if rests["fit"] == base.NO_FIT:
        inputs = scaled, clean, run.contract, options, seed, champion, rests["as_fitted"]
        return run.commit("selection", measure_champion, *inputs, rules=asked)
    embedding = EmbeddingOptions(**run.asked_for["embedding"])
    if rests["fit"] == base.IN_ITS_SPACE:
        embedding = embedding.model_copy(update={"embedding": rests["space"]})
    told = artifacts.progress("selection")
    more = (PlainRuleOptions(**run.asked_for["plain_rule"]), seed)
    beside = () if champion is None else (champion, rests["as_fitted"], _pinned_by(rests))
    return run.commit(
        "selection",
        partial(select_as_notebook if _is_notebook(run) else select_segments, on_progress=told),
        *(scaled, clean, run.contract, options, embedding, *more, *beside),
        rules=asked,
    )


@task(cache_policy=NO_CACHE)
def embed(scaled: Path, clean: Path, selection: Path, run: Run) -> Path:
    """Put every customer into the chosen space, or into the champion's where nothing is fitted."""
    id_column = run.contract.id.column

    def asked(made: Outcome, customers: pd.DataFrame, *_: Any) -> tuple:
        dimensions = tuple(made.log["dimensions"])
        return rules.embedding_rules(customers[id_column], id_column, dimensions)

    if not _has_challenger(run):
        inputs = clean, id_column, run.path(CHAMPION_FILE)
        return run.commit("embedding", embed_by_champion, *inputs, rules=asked)
    return run.commit(
        "embedding",
        embed_customers,
        scaled,
        id_column,
        run.path("embedding.skops"),
        run.log("selection")["space"],
        EmbeddingOptions(**run.asked_for["embedding"]),
        run.asked_for["seed"],
        rules=asked,
    )


@task(cache_policy=NO_CACHE)
def cluster(embedding: Path, scaled: Path, clean: Path, run: Run) -> Path:
    """Assign every customer: by the champion, and by K-means on the chosen space."""
    chosen, rests = run.log("selection"), run.manifest["base"]
    id_column, champion = run.contract.id.column, run.part(CHAMPION_FILE)
    lineage = {name: rests[name] for name in ("ids", "minted", "whose")}
    chosen_in_short = {name: chosen.get(name) for name in ("k", "space", "metrics", "champion")}

    def asked(made: Outcome, embedding: pd.DataFrame, *_: Any) -> tuple:
        smallest, ids = run.asked_for["selection"]["min_smallest_share"], tuple(made.log["ids"])
        by_champion = rests["whose"] == CHAMPION
        known = embedding[id_column], id_column, ids, smallest, chosen["pinned"], by_champion
        judged = rules.typical_rules(_limits(run)) if champion else ()
        return *rules.segments_rules(*known), *judged

    if not _has_challenger(run):
        inputs = embedding, id_column, chosen_in_short, clean, champion, lineage
        return run.commit("segments", assign_by_champion, *inputs, rules=asked)
    parts = [run.path(name) for name in ("scaler.skops", "embedding.skops", "confidence.parquet")]
    typicality = TypicalityOptions(**run.asked_for["typicality"])
    return run.commit(
        "segments",
        cluster_customers,
        *(embedding, scaled, id_column, *parts, chosen_in_short, typicality, run.asked_for["seed"]),
        *(clean, champion, run.part("base/previous.parquet"), lineage),
        *(run.part("base/reference.json"), run.contract),
        rules=asked,
    )


@task(cache_policy=NO_CACHE)
def offer(clean: Path, run: Run) -> None:
    """The next product of every customer, where look-alikes tell more than the segment does."""
    if run.contract.products and not _is_notebook(run):
        k, min_cell = len(run.log("segments")["ids"]), _limits(run).min_cell
        inputs = clean, run.contract, k, run.asked_for["seed"], min_cell
        run.attach(OFFERS, next_products, *inputs)


@task(cache_policy=NO_CACHE)
def profile(segments: Path, clean: Path, raw: Path, run: Run, approved: bool = False) -> Path:
    """Names, sizes, medians, shares of value of every segment; who moved since last month, and why.

    `approved`: a person has said yes, so the limits of change are told and ask no more.
    """
    whose, rests, log = run.manifest["model"], run.manifest["base"], run.log("segments")
    ids = tuple(log[f"{whose}_ids"])
    terms = {
        "month": run.manifest["month"],
        "whose": whose,
        "ids": ids,
        "born": log["born"] if whose != CHAMPION else [],
        "seed": run.asked_for["seed"],
        **{name: rests[name] for name in ("sizes", "erased", "names", "colours")},
    }

    def asked(made: Outcome, segments: pd.DataFrame, *_: Any) -> tuple:
        refitted = whose != CHAMPION and base.has_champion(rests)
        smallest = 0 if whose == CHAMPION else 1
        return (
            *rules.publication_rules(ids, len(segments), smallest),
            *rules.change_rules(_limits(run), approved, refitted),
        )

    parts = ("previous.parquet", "replaced.parquet", "reference.json", "births.json")
    return run.commit(
        "publication",
        publish_segments,
        *(segments, clean, raw, run.path(QUARANTINE), run.contract, terms),
        *(run.part(f"base/{name}") for name in parts),
        run.part(CHAMPION_FILE),
        run.part(OFFERS),
        rules=asked,
    )


@task(cache_policy=NO_CACHE)
def explain(publication: Path, segments: Path, clean: Path, scaled: Path, run: Run) -> None:
    """What marks each segment, its rule, its products, and maps on which the segments lie."""
    contract, whose, min_cell = run.contract, run.manifest["model"], _limits(run).min_cell
    seed = run.asked_for["seed"]
    known = segments, clean, contract, whose, min_cell
    run.attach("reasons/profiles.parquet", explaining.profiles_told, publication, min_cell)
    run.attach("reasons/differences.parquet", explaining.reasons_of, *known)
    run.attach("reasons/disparities.parquet", explaining.disparities_of, *known)
    run.attach("reasons/rules.json", explaining.rules_of, *known, seed)
    run.attach("reasons/use.parquet", explaining.use_of, *known)
    if offers := run.part(OFFERS):
        inputs = offers, segments, publication, whose
        run.attach("reasons/offers.parquet", explaining.offers_by_segment, *inputs)
    seen = scaled, segments, run.log("scaled")["features"], whose, min_cell
    run.attach("maps/components.parquet", explaining.map_of_components, *seen)
    if (run.read(run.path("selection"))["space"] == "autoencoder").any():  # one was trained here
        run.attach("maps/network.parquet", explaining.map_of_network, *seen, seed)


@task(cache_policy=NO_CACHE)
def draw(selection: Path, run: Run) -> None:
    """Pictures of the choice, of the segments, and of who moved."""
    log, profiles = run.log("publication"), run.path("reasons/profiles.parquet")
    names = {one["id"]: one["name"] for one in log["segments"]}
    colours = {one["id"]: hex_of(one["colour"]) for one in log["segments"]}
    numeric, min_cell = list(run.contract.numeric), _limits(run).min_cell
    run.attach("figures/selection.svg", draw_selection, selection, *_of_survival(run))
    run.attach("figures/segments.svg", figures.draw_segments, profiles, colours)
    run.attach("figures/profiles.svg", figures.draw_profiles, profiles, numeric, colours)
    differences = run.path("reasons/differences.parquet")
    kinds = {name: column.kind for name, column in run.contract.kept.items()}
    for of, colour in colours.items():
        run.attach(f"figures/card-{of}.svg", figures.draw_card, differences, of, colour, kinds)
    for name in ("components", "network"):
        if cells := run.part(f"maps/{name}.parquet"):
            told = run.log_beside(f"maps/{name}.parquet")
            run.attach(f"figures/map-{name}.svg", draw_map_of, cells, name, told, colours, names)
    if log["changes"]["compared"]:
        matrix = run.path("migration.parquet")
        run.attach("figures/migration.svg", draw_migration, matrix, names, colours, min_cell)
        run.attach("figures/causes.svg", draw_causes, log["changes"], min_cell)
    if _is_notebook(run):
        parts = [run.path(f"notebook_{name}.parquet") for name in ("curves", "map")]
        run.attach("figures/notebook.svg", draw_notebook, *parts)
    if run.log("selection")["space"] == "autoencoder":
        run.attach("figures/training.svg", figures.draw_training, run.path("training.parquet"))


@task(cache_policy=NO_CACHE)
def publish(url: str, run: Run, at: str, decision: dict[str, Any] | None = None) -> None:
    """Make the month current in the segment store at `url`."""
    done = delivering.deliver(url, run, at, decision)
    artifacts.published(run.id, run.manifest["month"], done.revision)


@task(cache_policy=NO_CACHE)
def note_in_store(url: str, run: Run, decision: dict[str, Any] | None = None) -> None:
    """Tell the store of a run that is not published, and what a person decided."""
    delivering.note_in_store(url, run, decision)


@task(cache_policy=NO_CACHE)
def roll_back(url: str, run_id: str, said: dict[str, Any]) -> amending.RolledBack:
    """Make an earlier publication current again, in the store at `url`."""
    return amending.rollback(open_store(url), run_id, said)


@task(cache_policy=NO_CACHE)
def report(run: Run) -> Path:
    """Write the report and show the run in Prefect, also where a gate refused it."""
    lines = _candidate_lines(run)
    summary = reporting.summarise(run.manifest, run.folder)
    paths = [one for of in ("figures", "reasons") for one in sorted((run.folder / of).glob("*.*"))]
    names = [f"{path.parent.name}/{path.stem}" for path in paths]
    measured = run.log_beside(OFFERS).get("products", [])
    kept = run.attach("report.html", render_report, summary, lines, measured, names, *paths)
    pictures = {path.stem: run.read(path) for path in paths if path.suffix == ".svg"}
    artifacts.show(summary, lines, pictures)
    return kept


def _candidate_lines(run: Run) -> list[dict[str, Any]]:
    """The candidates, also those among which nothing was stable: these most of all are asked for.

    A figure that was not drawn, since a gate refused them, is drawn now.
    """
    for path in (run.path("selection"), run.path("refused-selection.parquet")):
        if path.exists():
            run.attach("figures/selection.svg", draw_selection, path, *_of_survival(run))
            return reporting.candidate_lines(run.read(path))
    return []


def _of_survival(run: Run) -> tuple[float, int]:
    asked_for = run.asked_for["selection"]
    return asked_for["min_survival"], asked_for["resamples"]


def _against_last_month(run: Run, limits: Limits) -> list[rules.Rule]:
    """Drift, and that something has changed at all, where there was a month before."""
    reference, previous = (run.part(f"base/{n}") for n in ("reference.json", "previous.parquet"))
    asked: list[rules.Rule] = []
    if reference is not None:
        asked += rules.drift_rules(run.contract, limits, run.read(reference))
    if previous is not None:
        known = base.hashes_of(run.read(previous))
        asked += rules.unchanged_rules(run.contract, limits, known)
    return asked


def _has_challenger(run: Run) -> bool:
    """Whether a new fit is there: none was made, or nothing was stable and the champion goes on."""
    nothing = run.manifest["base"]["fit"] == base.NO_FIT or run.log("selection")["k"] is None
    return not nothing


def _pinned_by(rests: dict[str, Any]) -> str:
    return "the published model's" if rests["fit"] == base.IN_ITS_SPACE else "as asked for"


def _store(url: str, run: Run) -> Any:
    """The segment store; none yet, where a month that is not published must not make it."""
    return base.open_if_there(url, run.manifest["origin"], run.asked_for["publish"] != "never")


def _is_notebook(run: Run) -> bool:
    return run.asked_for["preset"] == "notebook"


def _limits(run: Run) -> Limits:
    return Limits(**run.asked_for["limits"])


def _fetch(uri: str, source: SourceOptions, password: str | None, run: Run) -> Fetched:
    """The source's content; a synthetic month is drawn, and its truth kept beside."""
    month = pd.Period(run.manifest["month"], "M")
    if source.query:
        return fetch_query(uri, source.query, month, password)
    if uri != "sample":
        return ingestion.fetch(uri)
    drawn = sample.draw_month(source.rows, month, run.asked_for["seed"], *source.planted)
    run.attach("truth.parquet", lambda *_: drawn.truth, str(month), source)
    return ingestion.fetched_table(drawn.table, "sample")
