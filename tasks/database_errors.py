"""What is wrong with a database, in words that quote no row and no password."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from expectations.errors import InputError, OutsideError, ResegmentError

STATEMENT_SECONDS = 600
UNKNOWN = "Run with --debug to see where"


class Why(NamedTuple):
    """What is wrong, what to do about it, and who can."""

    said: str
    remedy: str
    kind: type[ResegmentError] = OutsideError


_BUSY = Why("somebody else holds its lock", "Wait until they are done")
_TWIN = Why("another process publishes this run", "Wait until it is done")
_GONE = Why("it went away or cannot be reached", "See that it runs")

# first letters of an SQLSTATE -> why
STATES: Mapping[str, Why] = MappingProxyType(
    {
        "08": _GONE,
        "57P": Why("it was shut down", "See that it runs"),
        "57014": Why(f"a statement took over {STATEMENT_SECONDS} s", "See why it is slow"),
        "28": Why("it refused the user or the password", "Mend the URL"),
        "3D": Why("it has no such database", "Create it, or mend the URL"),
        "42501": Why("its user lacks a right", "Grant it"),
        "25006": Why("it is read-only", "Make it writable, or name another with --store"),
        "53": Why("it is out of disk, memory or connections", "Free some"),
        "55P03": _BUSY,
        "40": Why("somebody else changed the same rows", "Wait until they are done"),
        "23505": _TWIN,
    }
)
# what SQLite, or a driver without an SQLSTATE, says -> why
SIGNS: Mapping[str, Why] = MappingProxyType(
    {
        "locked": _BUSY,
        "busy": _BUSY,
        "readonly": Why("it is read-only", "Make it writable, or name another with --store"),
        "disk is full": Why("its disk is full", "Free space"),
        "disk I/O error": Why("its disk fails or is full", "See to the disk"),
        "unable to open": Why("the file cannot be opened", "See to its folder and its rights"),
        "malformed": Why("the file is damaged", "Bring back a copy of it"),
        "not a database": Why("the file is no database", "Name another with --store", InputError),
        "UNIQUE constraint": _TWIN,
        "authentication failed": STATES["28"],
        "no password supplied": Why("it wants a password", "Give one in RESEGMENT_STORE"),
        'database "': STATES["3D"],
        'role "': Why("it does not know the user", "Mend the URL"),
        "shutting down": STATES["57P"],
        "starting up": Why("it is only starting up", "Wait a little"),
        "timeout expired": Why("it does not answer", "See that it runs"),
        "No space left": STATES["53"],
        "connect": _GONE,
        "SSL": _GONE,
    }
)


def why(error: BaseException) -> Why:
    """Our words for a driver's error; its own may hold a row or a password."""
    state = str(getattr(error, "sqlstate", None) or "")
    text = str(error)
    if state:
        known = [words for first, words in STATES.items() if state.startswith(first)]
    else:
        known = [words for sign, words in SIGNS.items() if sign in text]
    said = f"{type(error).__name__}{f', SQLSTATE {state}' if state else ''}"
    return known[0] if known else Why(said, UNKNOWN)
