"""Every Prefect task, a few lines each: read, call, commit."""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from expectations import rules
from expectations.contract import Contract
from expectations.errors import ResegmentError
from expectations.rules import Limits
from tasks import artifacts, exploration, figures, ingestion, reporting, sample
from tasks.candidates import select_segments
from tasks.cleaning import clean_customers
from tasks.clustering import cluster_customers
from tasks.embedding import EmbeddingOptions, embed_customers
from tasks.figures_notebook import draw_notebook
from tasks.figures_selection import draw_selection
from tasks.ingestion import Fetched, SourceOptions
from tasks.notebook import scale_as_notebook, select_as_notebook
from tasks.outcome import Outcome
from tasks.plain_rule import PlainRuleOptions
from tasks.profiling import profile_segments
from tasks.run import Run
from tasks.scaling import ScalingOptions, left_out_in_words, scale_customers
from tasks.selection import SelectionOptions, chosen_in_words
from tasks.typicality import TypicalityOptions


@task(cache_policy=NO_CACHE)
def read(uri: str, run: Run) -> Path:
    """Read the source at `uri`; objectors leave before anything is computed."""
    source, limits = SourceOptions(**run.asked_for["source"]), _limits(run)
    previous = run.manifest["previous"] or {}
    try:
        fetched = _fetch(uri, source, run)
    except ResegmentError:
        if not run.has("raw"):
            raise
        return run.path("raw")  # the source is gone, but this run has read it before
    return run.commit(
        "raw",
        ingestion.read_customers,
        fetched,
        run.contract,
        source,
        rules=lambda *_: rules.raw_rules(run.contract, limits, previous.get("rows")),
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
    return [run.attach(f"figures/{name}.png", draw, kept[name]) for name, draw in drawn.items()]


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
    """Pick the features, log1p by kind, standardise."""

    def asked(made: Outcome, clean: pd.DataFrame, contract: Contract, *_: Any) -> tuple:
        id_column = contract.id.column
        left_out = left_out_in_words(made.log["dropped"])
        features = tuple(made.log["features"])
        return rules.scaled_rules(clean[id_column], id_column, features, left_out)

    if _is_notebook(run):
        return run.commit("scaled", scale_as_notebook, clean, run.contract, rules=asked)
    options = ScalingOptions(**run.asked_for["scaling"])
    return run.commit("scaled", scale_customers, clean, run.contract, options, rules=asked)


@task(cache_policy=NO_CACHE)
def select(scaled: Path, clean: Path, run: Run) -> Path:
    """Measure every candidate, choose the number of segments and the space."""
    options = SelectionOptions(**run.asked_for["selection"])

    def asked(made: Outcome, *_: Any) -> tuple:
        thresholds = options.min_smallest_share, options.min_survival, options.min_bootstrap_ari
        pinned = made.log["k"] if made.log["pinned"] else 0
        if made.log["k"] is None:
            return rules.selection_rules(*thresholds, pinned, nothing=made.log["why"])
        return rules.selection_rules(*thresholds, pinned, chosen=chosen_in_words(made.log))

    return run.commit(
        "selection",
        partial(
            select_as_notebook if _is_notebook(run) else select_segments,
            on_progress=artifacts.progress("selection"),
        ),
        scaled,
        clean,
        run.contract,
        options,
        EmbeddingOptions(**run.asked_for["embedding"]),
        PlainRuleOptions(**run.asked_for["plain_rule"]),
        run.asked_for["seed"],
        rules=asked,
    )


@task(cache_policy=NO_CACHE)
def embed(scaled: Path, selection: Path, run: Run) -> Path:
    """Put every customer into the chosen space."""

    def asked(made: Outcome, scaled: pd.DataFrame, id_column: str, *_: Any) -> tuple:
        dimensions = tuple(made.log["dimensions"])
        return rules.embedding_rules(scaled[id_column], id_column, dimensions)

    return run.commit(
        "embedding",
        embed_customers,
        scaled,
        run.contract.id.column,
        run.path("embedding.skops"),
        run.log("selection")["space"],
        EmbeddingOptions(**run.asked_for["embedding"]),
        run.asked_for["seed"],
        rules=asked,
    )


@task(cache_policy=NO_CACHE)
def cluster(embedding: Path, scaled: Path, run: Run) -> Path:
    """K-means on the chosen space; the pipeline is assembled."""
    chosen, thresholds = run.log("selection"), run.asked_for["selection"]

    def asked(made: Outcome, embedding: pd.DataFrame, _: Any, id_column: str, *__: Any) -> tuple:
        ids, segments = embedding[id_column], tuple(made.log["ids"])
        smallest = thresholds["min_smallest_share"]
        return rules.segments_rules(ids, id_column, segments, smallest, chosen["pinned"])

    return run.commit(
        "segments",
        cluster_customers,
        embedding,
        scaled,
        run.contract.id.column,
        run.path("scaler.skops"),
        run.path("embedding.skops"),
        run.path("confidence.parquet"),
        {name: chosen[name] for name in ("k", "space", "metrics")},
        TypicalityOptions(**run.asked_for["typicality"]),
        run.asked_for["seed"],
        rules=asked,
    )


@task(cache_policy=NO_CACHE)
def profile(segments: Path, clean: Path, run: Run) -> Path:
    """Sizes, medians and shares of value of every segment."""
    ids = tuple(run.log("segments")["ids"])

    def asked(made: Outcome, segments: pd.DataFrame, *_: Any) -> tuple:
        return rules.publication_rules(ids, len(segments))

    return run.commit("publication", profile_segments, segments, clean, run.contract, rules=asked)


@task(cache_policy=NO_CACHE)
def draw(selection: Path, publication: Path, run: Run) -> list[Path]:
    """Pictures of the choice and of the segments."""
    numeric = list(run.contract.numeric)
    drawn = [
        run.attach("figures/selection.png", draw_selection, selection, *_of_survival(run)),
        run.attach("figures/segments.png", figures.draw_segments, publication),
        run.attach("figures/profiles.png", figures.draw_profiles, publication, numeric),
    ]
    if _is_notebook(run):
        parts = [run.path(f"notebook_{name}.parquet") for name in ("curves", "map")]
        drawn.append(run.attach("figures/notebook.png", draw_notebook, *parts))
    if run.log("selection")["space"] == "autoencoder":
        curve = run.path("training.parquet")
        drawn.append(run.attach("figures/training.png", figures.draw_training, curve))
    return drawn


@task(cache_policy=NO_CACHE)
def report(run: Run) -> Path:
    """Write the report and show the run in Prefect, also where a gate refused it."""
    lines = _candidate_lines(run)
    figures_kept = sorted((run.folder / "figures").glob("*.png"))
    pictures = {path.stem: run.read(path) for path in figures_kept}
    summary = reporting.summarise(run.manifest, run.folder)
    kept = run.attach("report.html", partial(reporting.render_report, pictures), summary, lines)
    artifacts.show(summary, lines, pictures)
    return kept


def _candidate_lines(run: Run) -> list[dict[str, Any]]:
    """The candidates, also those among which nothing was stable: these most of all are asked for.

    A figure that was not drawn, since a gate refused them, is drawn now.
    """
    for path in (run.path("selection"), run.path("refused-selection.parquet")):
        if path.exists():
            run.attach("figures/selection.png", draw_selection, path, *_of_survival(run))
            return reporting.candidate_lines(run.read(path))
    return []


def _of_survival(run: Run) -> tuple[float, int]:
    asked_for = run.asked_for["selection"]
    return asked_for["min_survival"], asked_for["resamples"]


def _is_notebook(run: Run) -> bool:
    return run.asked_for["preset"] == "notebook"


def _limits(run: Run) -> Limits:
    return Limits(**run.asked_for["limits"])


def _fetch(uri: str, source: SourceOptions, run: Run) -> Fetched:
    """The source's content; a synthetic month is drawn, and its truth kept beside."""
    if uri != "sample":
        return ingestion.fetch(uri)
    month = pd.Period(run.manifest["month"], "M")
    drawn = sample.draw_month(source.rows, month, run.asked_for["seed"])
    run.attach("truth.parquet", lambda *_: drawn.truth, str(month), source.rows)
    return ingestion.fetched_table(drawn.table, "sample")
