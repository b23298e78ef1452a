"""Where campaign lists go: what each destination has, and how it gets the next export.

An export is begun by a line without a number. Its audience is loaded, its folder is written beside
its place, then one small transaction gives the number: from there on the destination has it. The
folder is renamed into its place, and that it was is noted. What a killed export left is finished
or taken back by the next to the same destination.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from expectations.errors import InputError, OutsideError, ResegmentError
from tasks.audiences import remove_leftovers
from tasks.erasing import Tombstones, scrub_told
from tasks.listfiles import holds, put_in_place, remove, staged_at
from tasks.objections import left_out_in
from tasks.published import publications_in
from tasks.store import Store, changing
from tasks.tables import audiences, destinations, exports, removals, runs

LONGEST_NAME = 40


class Overtaken(ResegmentError):
    """Something else was exported, published, rolled back or erased meanwhile."""

    exit_code = 1


class Begun(NamedTuple):
    """An export under way.

    Parameters
    ----------
    id : int
        Its line in the store, and its rows of the audience.
    run_id, month : str
        The publication.
    destination, campaign : str
        Who gets it, and the name of the control group.
    number : int
        The number that it gets, of the destination's own.
    folder : Path
        Where its lists will be.
    follows : int or None
        The number of the export that the destination has for sure; none before the first.
    is_whole : bool
        The destination starts anew: it has none, or an export of which nobody knows whether it
        came.
    is_new : bool
        Nothing was ever exported to the destination.
    removed : sequence of str
        Forgotten customers of whom the destination has to be told.
    left_out : Tombstones
        Who may be in no list, and the store's secret.
    """

    id: int
    run_id: str
    month: str
    destination: str
    campaign: str
    number: int
    folder: Path
    follows: int | None
    is_whole: bool
    is_new: bool
    removed: Sequence[str]
    left_out: Tombstones

    @property
    def staged(self) -> Path:
        """Where its lists are until it is entered."""
        return staged_at(self.folder, self.id)


def check_name(destination: str) -> None:
    """Raise `InputError` for a name that cannot be that of a folder everywhere."""
    if not re.fullmatch(rf"[A-Za-z0-9_-]{{1,{LONGEST_NAME}}}", destination):
        raise InputError(
            f"--destination {destination[:60]!r}: a name has letters from A to Z, digits, dashes "
            f"and underscores, {LONGEST_NAME} at most."
        )


def settle(store: Store, destination: str) -> list[str]:
    """Finish or take back what killed exports to a destination left; returns folders finished.

    Entered and staged: the folder is put in place, unless somebody has objected or was forgotten
    since. Anything else that is staged is deleted. Only the last number counts: after one of which
    nobody knows whether it came, the next is whole.
    """
    with store.database.reading() as connection:
        left_out = left_out_in(connection).sha256
        query = sa.select(exports).where(exports.c.destination == destination)
        last = _numbers(connection, destination)[1]
        is_open = exports.c.number.is_(None) | (exports.c.number == last)
        lines = connection.execute(query.where(~exports.c.delivered, is_open)).all()
    finished = []
    for line in lines:
        folder, staged = Path(line.folder), staged_at(Path(line.folder), line.id)
        is_entered = line.number is not None
        if is_entered and staged.is_dir() and line.left_out == left_out:
            put_in_place(staged, folder)
        if is_entered and holds(folder, line.told):
            deliver(store, destination, line.id)
            finished.append(line.folder)
        else:
            remove(staged)
    with changing(store) as (connection, _):
        open_lines = exports.c.number.is_(None) & (exports.c.destination == destination)
        connection.execute(sa.delete(exports).where(open_lines))
        remove_leftovers(connection)
    return finished


def begin(
    store: Store, run_id: str, destination: str, campaign: str, output: Path, at: datetime | str
) -> Begun:
    """Enter an export without a number, and read what it rests on.

    `campaign` is by default that of the destination and the month. Raises `InputError` where the
    run is no standing publication, where the store knows the destination in another spelling, and
    where the folder is there already.
    """
    with changing(store) as (connection, _):
        month = _standing_month(connection, run_id)
        known = list(connection.execute(sa.select(destinations.c.name)).scalars())
        _check_spelling(destination, known)
        follows, last = _numbers(connection, destination)
        folder = output.absolute() / f"{destination}-{last + 1:04d}-{month}"
        _check_free(folder)
        if destination not in known:
            first = {"name": destination, "created_at": at}
            connection.execute(sa.insert(destinations).values(first))
        left_out = left_out_in(connection)
        line: dict[str, Any] = {
            "destination": destination, "run_id": run_id, "exported_at": at, "delivered": False,
            "campaign": campaign or f"{destination} {month}", "left_out": left_out.sha256,
            "folder": str(folder),
        }  # fmt: skip
        made = connection.execute(sa.insert(exports).values(line).returning(exports.c.id))
        waiting = sa.select(removals.c.customer_id).where(removals.c.destination == destination)
        return Begun(
            id=made.scalar_one(),
            run_id=run_id,
            month=month,
            destination=destination,
            campaign=line["campaign"],
            number=last + 1,
            folder=folder,
            follows=follows,
            is_whole=follows is None or follows != last,
            is_new=last == 0,
            removed=sorted(connection.execute(waiting).scalars()),
            left_out=left_out,
        )


def enter(store: Store, begun: Begun, told: Mapping[str, Any], n_loaded: int) -> None:
    """Give an export its number: from now on the destination has its audience.

    Raises `Overtaken`, and nothing is entered, where what it rests on has changed.
    """
    with changing(store) as (connection, _):
        _check_unchanged(connection, begun, n_loaded)
        this = exports.c.id == begun.id
        connection.execute(sa.update(exports).where(this).values(number=begun.number, told=told))
        waiting = sa.update(removals).where(removals.c.destination == begun.destination)
        connection.execute(waiting.values(export_id=begun.id))


def deliver(store: Store, destination: str, export_id: int) -> None:
    """Note that an export is in its place; what the destination had before goes."""
    with changing(store) as (connection, _):
        this = sa.update(exports).where(exports.c.id == export_id)
        connection.execute(this.values(delivered=True))
        others = sa.select(exports.c.id).where(
            exports.c.destination == destination, exports.c.id != export_id
        )
        connection.execute(sa.delete(audiences).where(audiences.c.export_id.in_(others)))
        told = sa.delete(removals).where(removals.c.export_id == export_id)
        n_told = connection.execute(told).rowcount
    if n_told:
        with suppress(OutsideError):  # the lists are delivered; whoever forgets next does it
            scrub_told(store)


def take_back(store: Store, begun: Begun) -> None:
    """Undo an export that failed; one that was entered stays, and the next call finishes it."""
    this = exports.c.id == begun.id
    with changing(store) as (connection, _):
        connection.execute(sa.delete(exports).where(this, exports.c.number.is_(None)))
        is_entered = connection.execute(sa.select(exports.c.id).where(this)).first()
        remove_leftovers(connection)
    if not is_entered:
        remove(begun.staged)


def known_like(store: Store, destination: str) -> str | None:
    """Another destination whose name is much like this one's."""
    with store.database.reading() as connection:
        names = sa.select(destinations.c.name).where(destinations.c.name != destination)
        others = list(connection.execute(names).scalars())
    return next(iter(difflib.get_close_matches(destination, others, 1)), None)


def folders_of(store: Store) -> list[Path]:
    """Where lists lie that were handed over, or were to be."""
    with store.database.reading() as connection:
        lines = connection.execute(sa.select(exports.c.folder, exports.c.id)).all()
    both = ((Path(one.folder), staged_at(Path(one.folder), one.id)) for one in lines)
    return [folder for two in both for folder in two if folder.is_dir()]


def _standing_month(connection: sa.Connection, run_id: str) -> str:
    """The month of a publication. Raises `InputError` where there is none, or it does not count."""
    known = publications_in(connection)
    this = next((one for one in known if one.run_id == run_id), None)
    if this is None:
        status = connection.execute(sa.select(runs.c.status).filter_by(run_id=run_id)).scalar()
        why = f"is {status} and not published" if status else "is not in the store"
        raise InputError(
            f"{run_id} {why}: only publications are exported. `resegment runs` lists them."
        )
    if this.stands:
        return str(this.month)
    is_out = this.status == "withdrawn"
    why = "was rolled back" if is_out else f"was replaced by {this.replaced_by}"
    standing = {one.month: one.run_id for one in known if one.stands}
    instead = standing.get(this.month) or standing[max(standing)]
    raise InputError(f"{run_id} {why}, so it counts no more. Export {instead}.")


def _check_free(folder: Path) -> None:
    if folder.exists():
        raise InputError(
            f"{folder} is there already, and not of this store's making. Move it away, or choose "
            "another --output."
        )


def _numbers(connection: sa.Connection, destination: str) -> tuple[int | None, int]:
    """The number of the last export that surely came, and the last number given."""
    last = sa.select(sa.func.max(exports.c.number)).where(exports.c.destination == destination)
    came = connection.execute(last.where(exports.c.delivered)).scalar()
    return came, connection.execute(last).scalar() or 0


def _check_spelling(destination: str, known: Sequence[str]) -> None:
    """Folders that differ in capitals only are one to some file systems."""
    other = next((one for one in known if one.lower() == destination.lower()), destination)
    if other != destination:
        raise InputError(f"--destination {destination}: the store knows it as {other}.")


def _check_unchanged(connection: sa.Connection, begun: Begun, n_loaded: int) -> None:
    """Raise `Overtaken` where an export cannot be entered as it was begun."""

    def refuse(what: str) -> Overtaken:
        return Overtaken(
            f"{begun.destination}: {what} while the lists were made. Nothing was handed over. Run "
            "the command again."
        )

    this = sa.select(exports.c.id).where(exports.c.id == begun.id)
    is_there = connection.execute(this).first() is not None
    if not is_there or _numbers(connection, begun.destination)[1] != begun.number - 1:
        raise refuse("another export to the same destination was made")
    if not any(one.run_id == begun.run_id and one.stands for one in publications_in(connection)):
        raise refuse(f"{begun.run_id} was replaced or rolled back")
    if left_out_in(connection) != begun.left_out:
        raise refuse("somebody objected or was forgotten")
    count = sa.select(sa.func.count()).where(audiences.c.export_id == begun.id)
    if connection.execute(count).scalar() != n_loaded:
        raise refuse("its rows were taken out of the store")
