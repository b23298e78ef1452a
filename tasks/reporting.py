"""From a run's manifest to what people read: the summary, and the page in Prefect."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.changes import changes_in_words
from tasks.small_counts import few

TEMPLATES = Path(__file__).with_name("templates")

METRICS = [
    "silhouette",
    "silhouette_own",
    "davies_bouldin",
    "calinski_harabasz",
    "inertia",
    "bootstrap_ari",
    "worst_jaccard",
    "survival",
    "smallest_share",
    "eta_squared",
    "tree_accuracy",
    "reconstruction_error",
]

LARGE = ("inertia", "calinski")
RESTS_ON = ("current", "replaces", "champion", "previous", "previous_month", "gap", "is_older")
MIN_CELL = 5

CAPTIONS: Mapping[str, str] = {
    "segments": "Share of customers and of value, per segment",
    "profiles": "Medians per segment; within a line, the darker the higher",
    "migration": "Last month's segments at the left, this month's at the right; the ribbons are "
    "those who moved",
    "causes": "Those who moved, by cause",
    "selection": "How the number of segments was chosen: inertia, silhouette, how often the "
    "weakest segment is found again, and the variance explained; beside permuted columns",
    "notebook": "The usual notebook: its elbow and silhouettes, and its segments on two principal "
    "components, as density",
    "training": "Training of the autoencoder",
    "map-components": "An illustration: the two principal components of the features",
    "map-network": "An illustration: the two numbers to which an autoencoder squeezes a customer",
    "distributions": "Distributions between the 5 and 95 % quantiles, money and counts on a log "
    "scale; rare cells are left empty, and a bar that is cut off says its share",
    "correlations": "Spearman correlations between all numbers, in hundredths",
    "missing": "Missing values, in customers",
}


def summarise(manifest: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What `--json` prints of a run: counts and aggregates, no customer.

    What is not known, since the run did not come so far, is null.
    """
    stages, gates = manifest["stages"], manifest.get("gates", {})
    logs = {stage: entry["log"] for stage, entry in stages.items()}
    measured = {
        **logs.get("segments", {}).get("metrics", {}),
        **{k: v for k, v in logs.get("embedding", {}).items() if k in METRICS},
    }
    return {
        "run_id": manifest["run_id"],
        "month": manifest["month"],
        "origin": manifest["origin"],
        "status": manifest["status"],
        "error": manifest.get("error"),
        "model": manifest["model"],
        "preset": manifest["parameters"].get("preset", "monthly"),
        "contract": manifest["contract"]["name"],
        "version": manifest["versions"]["resegment"],
        "source": manifest["source"]["uri"],
        "rows": manifest.get("rows"),
        **_months(manifest, logs),
        **_chosen(manifest, logs),
        "elbow": logs.get("selection", {}).get("elbow"),
        "monthly": logs.get("selection", {}).get("monthly"),
        "why_space": logs.get("selection", {}).get("why_space"),
        "embedding": _embedding(logs),
        "features": logs.get("scaled", {}).get("features", []),
        "left_out": logs.get("scaled", {}).get("dropped", []),
        "metrics": {**dict.fromkeys(METRICS), **measured},
        "plain_rule": logs.get("selection", {}).get("plain_rule"),
        "untypical_share": logs.get("segments", {}).get("untypical_share"),
        "segments": logs.get("publication", {}).get("segments", []),
        "value": logs.get("publication", {}).get("value"),
        "unknown_columns": logs.get("raw", {}).get("left_out", []),
        "gates": [_gate(gate) for gate in gates.values()],
        "warnings": warnings_in_words(
            logs.get("raw", {}).get("left_out", []), [_gate(gate) for gate in gates.values()]
        ),
        "seconds": _seconds(manifest),
        "run_dir": str(folder),
        "report": str(folder / "report.html"),
    }


def _months(manifest: Mapping[str, Any], logs: Mapping[str, Any]) -> dict[str, Any]:
    """What the run rests on, what changed since last month, and where it was published."""
    rests = manifest.get("base") or {}
    changes = logs.get("publication", {}).get("changes")
    champion = logs.get("selection", {}).get("champion")
    min_cell = manifest["parameters"].get("limits", {}).get("min_cell", MIN_CELL)
    return {
        "rests_on": {name: rests.get(name) for name in RESTS_ON},
        "fit": rests.get("fit"),
        "publication": manifest.get("publication"),
        "decisions": manifest.get("decisions", []),
        "asks": manifest.get("asks", []) if manifest["status"] == "awaiting" else [],
        "changes": changes,
        "changes_in_words": changes_in_words(changes, rests, min_cell),
        "min_cell": min_cell,
        "lead": None if not champion or "lead" not in champion else _lead(champion),
    }


def _chosen(manifest: Mapping[str, Any], logs: Mapping[str, Any]) -> dict[str, Any]:
    """Number of segments, why, and the space: the champion's, where it assigns the month."""
    selection = logs.get("selection", {})
    chosen = {name: selection.get(name) for name in ("k", "why", "space")}
    rests = manifest.get("base") or {}
    if manifest["model"] != "champion" or not rests.get("model"):
        return chosen
    model, fitted_anew = rests["model"], rests["fit"] != "none" and chosen["why"]
    second = f"; a new fit on this month: {chosen['why']}" if fitted_anew else ""
    words = f"{model['k']}: those of the published model, fitted by run {model['fitted_by']}"
    return {"k": model["k"], "why": words + second, "space": model["space"]}


def _lead(champion: Mapping[str, Any]) -> dict[str, float]:
    return {"lead": champion["lead"], "error": champion["lead_error"]}


def _embedding(logs: Mapping[str, Any]) -> dict[str, Any] | None:
    log = logs.get("embedding")
    if log is None:
        return None
    return {name: log.get(name) for name in ("dimensions", "width", "epochs", "pca_error")}


def _gate(gate: Mapping[str, Any]) -> dict[str, Any]:
    return {name: gate[name] for name in ("stage", "verdict", "rows", "evaluated", "failed")}


def _seconds(manifest: Mapping[str, Any]) -> dict[str, float]:
    made = {**manifest["stages"], **manifest.get("attachments", {})}
    groups: dict[str, float] = {}
    for name, entry in made.items():
        group = name.split("/")[0].split(".")[0]
        groups[group] = round(groups.get(group, 0) + entry["seconds"], 3)
    return groups


def warnings_in_words(
    unknown_columns: Sequence[str],
    gates: Sequence[Mapping[str, Any]],
    min_cell: int = 0,
    tells_rows: bool = True,
) -> list[str]:
    """What did not hold and did not stop the run.

    Counts of rows below `min_cell` are not told, nor without `tells_rows` how many there are.
    """
    told = [
        f"raw: columns that the contract does not know are left out: {', '.join(unknown_columns)}"
    ]
    told = told if unknown_columns else []
    for gate in gates:
        for one in gate["failed"]:
            if one["severity"] == "refuse":
                continue
            count = one["broken_rows"]
            of = f" of {gate['rows']:,}" if tells_rows else ""
            said = f": {few(count or 0, min_cell)}{of} rows do not"
            rows = said if count is not None else _not(one)
            aside = " and are set aside" if one["severity"] == "set_aside" else ""
            told.append(f"{gate['stage']}: {one['says']}{rows}{aside}")
    return told


def asked_in_words(gates: Mapping[str, Any]) -> list[str]:
    """What gates ask a person about, a sentence for each rule."""
    return [
        f"{gate['stage']}: {one['says']}{_not(one)}"
        for gate in gates.values()
        for one in gate["failed"]
        if one["severity"] == "ask"
    ]


def _not(failed: Mapping[str, Any]) -> str:
    found = failed["observed"]
    return f": not so ({found})" if found else ": not so"


def candidate_lines(selection: pd.DataFrame) -> list[dict[str, Any]]:
    """The selection stage as JSON values, one line per candidate."""
    rounded = selection.round(dict.fromkeys(selection.select_dtypes("float"), 4))
    rounded = rounded.round({name: 0 for name in rounded if str(name).startswith(LARGE)})
    return [_without_gaps(line) for line in rounded.to_dict("records")]


def _without_gaps(line: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): None if pd.isna(value) else value for key, value in line.items()}


def template(name: str, **filters: Any) -> Any:
    """A template of this package, with the filters for numbers and others."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number, percent=percent, signed=signed, digits=digits, **filters
    )
    return environment.get_template(name)


def number(value: float | None, digits: int = 0) -> str:
    """A number for people; a dash where nothing is known."""
    return "-" if value is None else f"{round(value, digits) + 0.0:,.{digits}f}"  # no "-0.0"


def percent(share: float | None) -> str:
    """A share for people; a dash where nothing is known."""
    return "-" if share is None else f"{share:.1%}"


def digits(told: str) -> str:
    """What a cell is sorted by: its number, or nothing."""
    found = re.fullmatch(r"(?:< )?([\d,.]+)(?: ?%)?", told)
    return found[1].replace(",", "") if found else ""


def signed(change: float | None) -> str:
    """A relative change for people; a dash where nothing is known."""
    return "-" if change is None else f"{change:+.1%}"
