"""What a database says of a query, in words that quote no connection and no value."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from expectations.errors import InputError, OutsideError, ResegmentError

EXTRA = "Install it: pip install 'resegment[postgresql]'."
LOGIN = (
    "See to the user in the URL, and to the password: set PGPASSWORD, write ~/.pgpass, or name a "
    "Prefect Secret block"
)
ONLY_READING = "the query would write, and a source is only read. Give one SELECT"
CONVERSION = (
    "a value does not suit a conversion or a calculation in the query. Cast or filter it there"
)
SLOW = "the query takes too long. Ask for less, or see to an index"
GONE = "the database went away. See that it runs"
NO_DATABASE = "there is no such database. Correct --source"

OF_SQLITE = re.compile(
    r"(?:near .*: syntax error|no such (?:table|column|function): .*|ambiguous column name: .*"
    r"|incomplete input|unrecognized token: .*|wrong number of arguments to function .*)\Z"
)

Known = tuple[type[ResegmentError], str]

# First letters of an SQLSTATE -> who can mend it, our words
STATES: Mapping[str, Known] = MappingProxyType(
    {
        "28": (InputError, f"the database refuses the user or the password. {LOGIN}"),
        "3D": (InputError, NO_DATABASE),
        "42501": (InputError, "the user may not read that. Grant SELECT on it"),
        "25006": (InputError, ONLY_READING),
        "22": (InputError, CONVERSION),
        "08": (OutsideError, GONE),
        "57014": (OutsideError, SLOW),
        "57": (OutsideError, GONE),
        "53": (OutsideError, "the database lacks disk, memory or connections. Free some"),
    }
)
# What a driver says where it gives no SQLSTATE -> the same
SIGNS: Mapping[str, Known] = MappingProxyType(
    {
        "authentication failed": STATES["28"],
        "no password supplied": (InputError, f"the database wants a password. {LOGIN}"),
        "no pg_hba.conf entry": (InputError, f"the database refuses this machine or user. {LOGIN}"),
        'role "': (InputError, f"the database does not know the user. {LOGIN}"),
        'database "': STATES["3D"],
        " URI": (InputError, "the URL cannot be read. Write postgresql://user@host/database"),
        "Failed to connect": (
            OutsideError,
            "the database cannot be reached. See to host, port and network, and that it runs",
        ),
        "invalid input syntax": STATES["22"],
        "division by zero": STATES["22"],
        "out of range": STATES["22"],
        "statement timeout": STATES["57014"],
        "terminating connection": STATES["57"],
        "server closed the connection": STATES["57"],
        "readonly database": STATES["25006"],
        "not a database": (InputError, "this is no SQLite database. Correct --source"),
        "is locked": (OutsideError, "somebody else holds its lock. Wait until they are done"),
        "malformed": (OutsideError, "the file is damaged. Bring back a copy of it"),
        "open": (OutsideError, "the file cannot be opened. See to its rights"),
    }
)


def refuse_doubled(names: Sequence[str], shown: str) -> None:
    """Raise `InputError` where a query gives two columns of one name."""
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(
            f"source {shown}: the query gives {', '.join(doubled)} twice. Name each once."
        )


def in_words(error: BaseException, shown: str) -> ResegmentError:
    """Our error for a driver's."""
    text, state = str(error), str(getattr(error, "sqlstate", None) or "")
    if quoted := _about_the_query(text, state):
        return InputError(f"source {shown}: the query is wrong: {quoted}. Correct --query.")
    for kind, why in _known(text, state):
        again = ", then run again" if kind is OutsideError else ""
        return kind(f"source {shown}: {why}{again}.")
    code = f", SQLSTATE {state}" if state else ""
    return OutsideError(
        f"source {shown}: reading failed ({type(error).__name__}{code}). See to the database and "
        "its log, then run again."
    )


def _known(text: str, state: str) -> list[Known]:
    by_state = [known for prefix, known in STATES.items() if state.startswith(prefix)]
    return by_state or [known for sign, known in SIGNS.items() if sign in text and not state]


def _about_the_query(text: str, state: str) -> str:
    """What is wrong with the query's own words; only they are quoted, never a value."""
    if state.startswith("42") and state != "42501":
        line = re.search(r"\nLINE ([0-9]+):", text)
        said = re.search(r"ERROR:\s+([^\n]*)", text)
        where = f" (line {line[1]})" if line else ""
        return f"{said[1] if said else f'SQLSTATE {state}'}{where}"
    return text if OF_SQLITE.match(text) else ""
