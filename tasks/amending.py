"""What a person changes in the store: back to an earlier publication, a segment's name."""

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from expectations.errors import InputError
from tasks.order import Published
from tasks.published import publications_in
from tasks.store import Store, changing
from tasks.tables import decisions, registry_table, runs, store_table

LONGEST_NAME = 60


class RolledBack(NamedTuple):
    """The publication that is current again, the one that was, and all that were withdrawn."""

    current: str
    before: str | None
    withdrawn: list[str]


def rollback(store: Store, run_id: str, decision: Mapping[str, Any]) -> RolledBack:
    """Make an earlier publication current again; every one after it is withdrawn.

    After it are the revisions of later months and later revisions of its own. What it had been
    replaced by is withdrawn, so it stands again. `decision`: `comment`, `who`, `decided_at`.

    Raises `InputError` if the run is no publication, was withdrawn itself, or is current.
    """
    with changing(store) as (connection, row):
        known = publications_in(connection)
        target = _target(known, run_id, row.current_run)
        withdrawn = [
            one.run_id
            for one in known
            if one.status == "published"
            and (one.month, one.revision) > (target.month, target.revision)
        ]
        is_after = runs.c.run_id.in_(withdrawn)
        connection.execute(sa.update(runs).where(is_after).values(status="withdrawn"))
        is_target = runs.c.run_id == run_id
        connection.execute(sa.update(runs).where(is_target).values(replaced_by=None))
        connection.execute(sa.update(store_table).values(current_run=run_id))
        line = {"run_id": run_id, "decision": "rollback", **decision}
        connection.execute(sa.insert(decisions).values(line))
    return RolledBack(run_id, row.current_run, withdrawn)


def name_segment(
    store: Store, segment_id: str, name: str, note: str | None, at: datetime | str
) -> None:
    """Give a segment a name of one's own; it stays with the id in every later month.

    Raises `InputError` if no such id was ever minted, for a name that cannot be shown, and for
    one that another segment has.
    """
    given = _checked(name)
    with changing(store) as (connection, _):
        others = registry_table.c.segment_id != segment_id
        same = sa.select(registry_table.c.segment_id).where(registry_table.c.name == given, others)
        if other := connection.execute(same).scalar():
            raise InputError(f"{other} has that name already: nobody could tell the two apart.")
        change = sa.update(registry_table).where(registry_table.c.segment_id == segment_id)
        if connection.execute(change.values(name=given, note=note, named_at=at)).rowcount == 0:
            order = sa.select(registry_table.c.segment_id).order_by(registry_table.c.number)
            known = list(connection.execute(order).scalars())
            raise InputError(f"there is no segment {segment_id}. {_hint(segment_id, known)}")


def _target(known: Sequence[Published], run_id: str, current: str | None) -> Published:
    target = next((one for one in known if one.run_id == run_id), None)
    if target is None:
        raise InputError(
            f"{run_id} was never published. `resegment runs` lists the runs with their status."
        )
    if target.status == "withdrawn":
        raise InputError(
            f"{run_id} was rolled back past itself, and later months may rest on what came "
            f"after. Run {target.month} again."
        )
    if run_id == current:
        raise InputError(f"{run_id} is the current publication already: nothing to roll back.")
    return target


def _checked(name: str) -> str:
    """The name without blanks at its ends. Raises `InputError`."""
    given = name.strip()
    if any(unicodedata.category(letter).startswith("C") for letter in given):
        raise InputError("a segment's name holds a control character; write plain text.")
    if not 0 < len(given) <= LONGEST_NAME:
        raise InputError(
            f"a segment's name has 1 to {LONGEST_NAME} letters; this one has {len(given)}."
        )
    return given


def _hint(segment_id: str, known: Sequence[str]) -> str:
    if not known:
        return "None was minted yet: publish a month first."
    close = difflib.get_close_matches(segment_id.upper(), known, n=1, cutoff=0.5)
    meant = f"Did you mean {close[0]}? " if close else ""
    shown = ", ".join(known[:20]) + (" ..." if len(known) > 20 else "")
    return f"{meant}There are {shown}."
