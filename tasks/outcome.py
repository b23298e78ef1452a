"""What a step gives back: its table, what it learned, and a small log."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Outcome(NamedTuple):
    """The result of a step.

    Parameters
    ----------
    table : DataFrame
        The stage's table.
    learned : mapping of file name to object
        Fitted parts, further tables and figures to keep beside the stage; the suffix of the
        name says how (`.skops`, `.parquet`, `.json`, `.png`).
    log : mapping
        Small facts for the manifest: JSON values only, and no customer's data.
    """

    table: pd.DataFrame
    learned: Mapping[str, Any] = _NOTHING
    log: Mapping[str, Any] = _NOTHING
