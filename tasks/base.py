"""What a month rests on: asked of the segment store once, and kept with the run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from expectations.contract import Contract
from expectations.errors import GateError, InputError
from tasks.clustering import CHALLENGER, CHAMPION
from tasks.modelfile import StoredModel, unpack

if TYPE_CHECKING:
    from tasks.erasing import Tombstones
    from tasks.order import Base
    from tasks.store import Store

# How this month is fitted: not at all, in the champion's columns and space, or freely.
NO_FIT, IN_ITS_SPACE, FREELY = "none", "champion's space", "freely"

FIRST_MONTH: Mapping[str, Any] = {
    **dict.fromkeys(("current", "replaces", "champion", "previous", "previous_month")),
    "is_older": False,
    "gap": 0,
    "fit": FREELY,
    "whose": CHALLENGER,
    "asks": "",
    "ids": [],
    "minted": 0,
    "space": None,
    "features": [],
    "as_fitted": {},
    "model": None,
    "rows": None,
    "sizes": {},
    "erased": {},
    "names": {},
    "colours": {},
    "published": None,
    "sources": {},
}


class NothingToDo(GateError):
    """The month is published already, from the same content, contract and parameters."""


class RepeatedSource(GateError):
    """The source's content was published under another month's name."""


class RestsOn(NamedTuple):
    """What a month rests on.

    `facts` go into the manifest; `parts` are files beside the stages, by name: the champion's
    model, the assignments compared with and those replaced, the columns as they were last month,
    and each segment's definition at its birth.
    """

    facts: Mapping[str, Any]
    parts: Mapping[str, Any]


class Fit(NamedTuple):
    """How a month is fitted, whose segments are proposed, and what a person is asked."""

    fit: str
    whose: str
    asks: str = ""


def rests_on(store: "Store | None", month: pd.Period, contract: Contract, refit: str) -> RestsOn:
    """What the store says of the months around this one.

    Parameters
    ----------
    store : Store, optional
        None where there is none yet.
    month : Period
        The run's month.
    contract : Contract
        The run's contract: the champion must have been fitted under it.
    refit : str
        auto, always or never.

    Returns
    -------
    RestsOn
        Raises `InputError` where nothing is published and no fit is allowed, and where the
        champion's model cannot be used and a fit was not asked for.
    """
    from tasks import published

    base = None if store is None else published.base_for(store, month)
    if store is None or base is None or base.champion is None:
        if refit == "never":
            raise InputError(
                "--refit never: nothing is published yet, so there is no model that could assign. "
                "Run the first month without it."
            )
        names = {} if store is None else _names(store)
        minted = 0 if store is None else published.minted(store)
        return RestsOn({**FIRST_MONTH, "minted": minted, "names": names}, {})
    stored = published.model_of(store, base.champion)
    how = how_to_fit(stored, contract, refit, base.is_older)
    line = published.run_line(store, base.previous) if base.previous else {}
    facts = {
        **base._asdict(),
        **how._asdict(),
        "ids": [] if how.asks else list(stored.segment_ids),
        "minted": published.minted(store),
        "space": stored.space,
        "as_fitted": {**_as_fitted(store, stored, base.champion), "space": stored.space},
        "model": _facts_of(stored),
        "rows": _rows_of(line),
        "sizes": _sizes(store, base),
        "erased": _erased(store, base),
        "names": _names(store),
        "colours": _colours(store, base.previous),
        "published": _content_of(store, base),
        "sources": _other_sources(store, month),
    }
    return RestsOn({**FIRST_MONTH, **facts}, _parts(store, base, stored, how, line))


def how_to_fit(stored: StoredModel, contract: Contract, refit: str, is_older: bool) -> Fit:
    """How a month is fitted that has a champion.

    A contract that has changed leaves no champion: a challenger is fitted, and a person asked.
    """
    try:
        unpack(stored, contract)
    except InputError as problem:
        belongs = contract.fingerprint(stored.columns) == stored.fingerprint
        if is_older or refit == "never" or (belongs and refit != "always"):
            raise
        why = "the contract has changed" if not belongs else "the published model cannot be used"
        return Fit(FREELY, CHALLENGER, f"{why}, so the segments were found anew ({problem})")
    if is_older or refit == "never":
        return Fit(NO_FIT, CHAMPION)
    return Fit(FREELY, CHALLENGER) if refit == "always" else Fit(IN_ITS_SPACE, CHAMPION)


def open_if_there(url: str, origin: str | None, create: bool) -> "Store | None":
    """The segment store at `url`; with `create` it is made, else there may be none.

    Raises `InputError` where it holds months of another `origin`.
    """
    from tasks.database import database_at
    from tasks.store import check_origin, open_store

    if create:
        return open_store(url, origin)
    path = database_at(url).path
    if path is not None and not path.exists():
        return None
    found = open_store(url)
    if origin is not None:
        check_origin(found, origin)
    return found


def tombstones_of(store: "Store | None") -> "Tombstones":
    """Who is to be forgotten."""
    from tasks.erasing import Tombstones, tombstones_in

    if store is None:
        return Tombstones(b"", frozenset())
    with store.database.reading() as connection:
        return tombstones_in(connection)


def hashes_of(previous: pd.DataFrame) -> pd.Series:
    """The numbers' hash of every customer that was assessed last month, by id."""
    return previous.dropna(subset=["row_hash"]).set_index("customer_id")["row_hash"]


def refuse_repeated(sha256: str, manifest: Mapping[str, Any]) -> None:
    """Stop where the source's content was published before.

    Raises `NothingToDo` if it was this month, with the same contract and parameters, and
    `RepeatedSource` if it was another one: then somebody sent last month's table again.
    """
    facts = manifest["base"]
    made = facts["published"] or {"source_sha256": None}
    now = (sha256, manifest["contract"]["sha256"], manifest["parameters_sha256"])
    then = tuple(made.get(f"{of}_sha256") for of in ("source", "contract", "parameters"))
    if now == then:
        raise NothingToDo(
            f"{made['run_id']}: {manifest['month']} is published from the same content, contract "
            "and parameters. Nothing to do."
        )
    if other := facts["sources"].get(sha256):
        raise RepeatedSource(
            f"raw: this source has the very content that was published as {other}, and the month "
            f"asked for is {manifest['month']}. Send the table of {manifest['month']}, or name the "
            "right month with --month."
        )


def has_champion(facts: Mapping[str, Any]) -> bool:
    """Whether a published model can assign this month's customers."""
    return bool(facts["ids"])


def _parts(
    store: "Store", base: "Base", stored: StoredModel, how: Fit, line: Mapping[str, Any]
) -> dict[str, Any]:
    from tasks import published

    parts: dict[str, Any] = {}
    if not how.asks:
        parts["champion.skops"] = stored.content
    if base.previous:
        parts["previous.parquet"] = published.assignments_of(store, base.previous)
    if base.replaces:
        parts["replaced.parquet"] = published.assignments_of(store, base.replaces)
    if line.get("reference"):
        parts["reference.json"] = line["reference"]
    registry = published.registry(store)
    parts["births.json"] = dict(zip(registry["segment_id"], registry["birth"], strict=True))
    return parts


def _facts_of(stored: StoredModel) -> dict[str, Any]:
    facts = stored._asdict()
    facts.pop("content")
    return {**facts, "versions": dict(stored.versions)}


def _names(store: "Store") -> dict[str, str]:
    """The names that persons gave, by segment."""
    from tasks import published

    registry = published.registry(store).dropna(subset=["name"])
    return dict(zip(registry["segment_id"], registry["name"], strict=True))


def _colours(store: "Store", previous: str | None) -> dict[str, int]:
    """The place in the palette that each segment had in the publication compared with."""
    from tasks import published

    if previous is None:
        return {}
    segments = published.segments_of(store, previous)
    profiles = zip(segments["segment_id"], segments["profile"], strict=True)
    return {str(of): int(one["colour"]) for of, one in profiles if one and "colour" in one}


def _rows_of(line: Mapping[str, Any]) -> int | None:
    rows = line.get("rows")
    return None if not rows else rows["kept"] + rows["quarantined"]


def _sizes(store: "Store", base: "Base") -> dict[str, int]:
    from tasks import published

    if base.previous is None:
        return {}
    segments = published.segments_of(store, base.previous)
    return {
        str(one): int(n) for one, n in zip(segments["segment_id"], segments["size"], strict=True)
    }


def _erased(store: "Store", base: "Base") -> dict[str, int]:
    """How many customers were erased since from each segment compared with; "": from none."""
    from tasks import published

    if base.previous is None:
        return {}
    erased = published.erased(store, base.previous)
    ids = erased["segment_id"].astype(object).where(erased["segment_id"].notna(), "")
    return {str(one): int(n) for one, n in zip(ids, erased["customers"], strict=True)}


def _as_fitted(store: "Store", stored: StoredModel, champion: str) -> dict[str, Any]:
    """What the model's resamples said when it was fitted; each month that it assigns repeats it.

    So the last one is asked where the run that fitted it was pruned.
    """
    from tasks import published

    lines = {line["run_id"]: line for line in published.run_lines(store)}
    return lines.get(stored.fitted_by, lines[champion])["metrics"] or {}


def _content_of(store: "Store", base: "Base") -> dict[str, Any] | None:
    """What the standing revision of this month was made from."""
    from tasks import published

    if base.replaces is None:
        return None
    line = published.run_line(store, base.replaces)
    names = ("run_id", "source_sha256", "contract_sha256", "parameters_sha256")
    return {name: line[name] for name in names}


def _other_sources(store: "Store", month: pd.Period) -> dict[str, str]:
    """Months that were published from a source's content, by its sha256."""
    from tasks import published

    known = published.source_months(store)
    return {sha256: str(of) for sha256, (of, _) in known.items() if of != month}
