"""Campaign lists for one destination: from a publication in the store to a folder."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa

from expectations.errors import InputError, ResegmentError
from expectations.rules import Limits
from tasks import destinations, keeping
from tasks.audiences import held_by, load_audience
from tasks.campaigns import ERASED, LEFT, LISTED, NOT_ASSESSED, Lists, lists_of
from tasks.control import SHARE, detectable_lift, in_control, is_too_small
from tasks.destinations import Begun
from tasks.listfiles import (
    ENTERED_LIST,
    ERASED_LIST,
    LEFT_LIST,
    READ_ME,
    TOLD,
    explained,
    flush,
    put_in_place,
    write_list,
)
from tasks.published import assignments_of, segments_of
from tasks.store import Store
from tasks.tables import exports, registry_table, runs, segments

LONGEST_CAMPAIGN = 200
MIN_CELL = Limits().min_cell


class Wanted(NamedTuple):
    """What is to be exported, and where to.

    Parameters
    ----------
    destination : str
        Who gets it.
    output : Path
        The folder in which the export's own is made.
    campaign : str
        The control group's name; another campaign leaves out others. Empty: destination and month.
    control : float
        Share of the customers who are held back.
    codes : bool
        Neutral codes instead of the segments' names.
    base_rate : float, optional
        Share of those held back who are expected to do what the campaign is for.
    """

    destination: str
    output: Path
    campaign: str = ""
    control: float = SHARE
    codes: bool = False
    base_rate: float | None = None


def export(
    store: Store,
    run_id: str,
    wanted: Wanted,
    at: datetime | str,
    on_step: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Write a publication's lists, and the changes against what the destination has.

    What an earlier export that was killed has left is finished or taken back first. `on_step(name)`
    hears how far it is.

    Returns
    -------
    dict
        What `export.json` says, less counts of a few customers, with the `folder`, whether the
        destination `is_new`, another that is called much like it (`like`), and the folders that
        were `finished` first.

    Raises
    ------
    InputError
        The run is no standing publication, or what is wanted cannot be had.
    Overtaken
        The store has changed meanwhile: nothing was handed over.
    OutsideError
        The database or the disk failed: the same call finishes or repeats the export.
    """
    _check(wanted)
    finished = destinations.settle(store, wanted.destination)
    asked = wanted.destination, wanted.campaign, wanted.output
    begun = destinations.begin(store, run_id, *asked, at)
    on_step("begun")
    try:
        told = _hand_over(store, wanted, begun, at, on_step)
    except BaseException:
        with suppress(ResegmentError):  # of a database that is gone; the next call does it
            destinations.take_back(store, begun)
        raise
    put_in_place(begun.staged, begun.folder)
    on_step("in place")
    destinations.deliver(store, begun.destination, begun.id)
    like = destinations.known_like(store, begun.destination) if begun.is_new else None
    beside = {"folder": str(begun.folder), "is_new": begun.is_new, "like": like}
    return {**without_few(told), **beside, "finished": finished}


def names_of(store: Store, run_id: str, destination: str, *, codes: bool) -> dict[str, str]:
    """What each segment is called, by id: those of other months, too, and those long retired.

    As the publication says it; else as the last that had the segment does, and a person's name
    before either; else as the destination was told.
    """
    is_this = (runs.c.run_id == run_id).label("is_this")
    lines = sa.select(segments.c.segment_id, segments.c.name, segments.c.profile)
    lines = lines.join(runs, runs.c.run_id == segments.c.run_id)
    lines = lines.order_by(is_this, runs.c.month, runs.c.revision)
    given = sa.select(registry_table.c.segment_id, registry_table.c.name)
    before = sa.select(exports.c.told).where(exports.c.destination == destination)
    before = before.where(exports.c.told.is_not(None)).order_by(exports.c.number)
    with store.database.reading() as connection:
        told = list(connection.execute(before).scalars())
        known = connection.execute(lines).all()
        names = {one.segment_id: one.name for one in connection.execute(given) if one.name}
    alike = (one["segments"] for one in told if (one["segments_as"] == "codes") == codes)
    called = {one["segment_id"]: one["segment"] for lines in alike for one in lines}
    if codes:
        return called | {one.segment_id: _code(one.profile) or one.segment_id for one in known}
    return called | {one.segment_id: one.name or one.segment_id for one in known} | names


def without_few(told: Mapping[str, Any]) -> dict[str, Any]:
    """What may be shown and logged: a few customers are null, and nothing adds up to them."""
    hidden = ("entered", "left")
    lines = [
        {name: _shown(value) for name, value in one.items() if name not in hidden}
        for one in told["segments"]
    ]
    counts = {name: _shown(n) for name, n in told["counts"].items() if name != "customers"}
    return {**told, "segments": lines, "counts": counts}


def _check(wanted: Wanted) -> None:
    destinations.check_name(wanted.destination)
    if not 0 <= wanted.control < 1:
        raise InputError(f"--control {wanted.control}: give a share from 0 to less than 1.")
    if wanted.base_rate is not None and not 0 < wanted.base_rate < 1:
        raise InputError(f"--base-rate {wanted.base_rate}: give a share between 0 and 1.")
    if len(wanted.campaign) > LONGEST_CAMPAIGN or not wanted.campaign.isprintable():
        raise InputError(f"--campaign: a name has {LONGEST_CAMPAIGN} letters at most, on one line.")


def _hand_over(
    store: Store, wanted: Wanted, begun: Begun, at: datetime | str, on_step: Callable[[str], None]
) -> dict[str, Any]:
    """Stage the lists and enter the export; returns what was told."""
    called = names_of(store, begun.run_id, begun.destination, codes=wanted.codes)

    def held_back(ids: pd.Series) -> np.ndarray:
        return in_control(ids, begun.left_out.secret, begun.campaign, wanted.control)

    lists = lists_of(
        assignments_of(store, begun.run_id),
        held_by(store, begun.destination),
        begun.removed,
        called,
        begun.left_out.mark,
        held_back,
        is_whole=begun.is_whole,
    )
    told = _told(segments_of(store, begun.run_id), wanted, begun, called, lists)
    told = {**told, "exported_at": str(at)}
    load_audience(store, begun.id, lists.everybody)
    on_step("loaded")
    _stage(begun.staged, lists, told)
    on_step("staged")
    destinations.enter(store, begun, told, len(lists.everybody))
    on_step("entered")
    return told


def _told(
    known: pd.DataFrame, wanted: Wanted, begun: Begun, called: Mapping[str, str], lists: Lists
) -> dict[str, Any]:
    """What `export.json` says: counts and names, no customer."""
    profiles = dict(zip(known["segment_id"], known["profile"], strict=True))
    lines = [
        {"segment_id": one, "segment": called.get(one, one)}
        | _counted(lists, wanted.base_rate, one)
        | ({} if wanted.codes else _advice(profiles.get(one)))
        for one in sorted({*profiles, *lists.everybody["segment_id"]})
    ]
    return {
        "destination": begun.destination,
        "number": begun.number,
        "kind": "whole" if begun.is_whole else "changes",
        "follows": begun.follows,
        "run_id": begun.run_id,
        "month": begun.month,
        "campaign": begun.campaign,
        "segments_as": "codes" if wanted.codes else "names",
        "control_share": wanted.control,
        "base_rate": wanted.base_rate,
        "segments": lines,
        "counts": {
            "customers": len(lists.everybody),
            "entered": len(lists.entered),
            "left": len(lists.left),
            "erased": len(lists.erased),
            "not_assessed": int((lists.everybody["status"] == NOT_ASSESSED).sum()),
        },
    }


def _counted(lists: Lists, base_rate: float | None, segment_id: str) -> dict[str, Any]:
    """How many are in a segment's list and its changes, and what lift its control group shows."""
    theirs = lists.everybody[lists.everybody["segment_id"] == segment_id]
    n_control = int(theirs["control"].sum())
    counts = {
        "customers": len(theirs),
        "control": n_control,
        "entered": int((lists.entered["segment_id"] == segment_id).sum()),
        "left": int((lists.left["segment_id"] == segment_id).sum()),
    }
    if base_rate is None:
        return counts
    lift = detectable_lift(len(theirs) - n_control, n_control, base_rate)
    return {**counts, "lift": lift, "too_small": is_too_small(lift, base_rate)}


def _advice(profile: Mapping[str, Any] | None) -> dict[str, Any]:
    """What to do with a segment; a publication from before there were personas says nothing."""
    wanted = ("care", "retention", "campaign")
    return {name: profile[name] for name in wanted if profile and name in profile}


def _code(profile: Mapping[str, Any] | None) -> str | None:
    return None if not profile else profile.get("code")


def _stage(folder: Path, lists: Lists, told: Mapping[str, Any]) -> None:
    """Write the folder beside its place."""
    with keeping.outside(f"{folder}", "and run the command again"):
        folder.mkdir(mode=0o700, parents=True)
        for one in (line["segment_id"] for line in told["segments"]):
            is_theirs = lists.everybody["segment_id"] == one
            write_list(folder, one, lists.everybody[is_theirs], LISTED)
        write_list(folder, ENTERED_LIST, lists.entered, LISTED)
        write_list(folder, LEFT_LIST, lists.left, LEFT)
        write_list(folder, ERASED_LIST, lists.erased, ERASED)
        keeping.keep(folder / READ_ME, explained(told))
        keeping.keep(folder / TOLD, told)
        flush(folder)


def _shown(value: Any) -> Any:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return None if is_count and 0 < value < MIN_CELL else value
