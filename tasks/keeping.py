"""Files that are there whole or not at all: write beside, flush to disk, rename."""

import errno
import hashlib
import io
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from threading import Lock
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from expectations.errors import OutsideError

_BLOCK = 1 << 20
_SETTINGS = Lock()  # matplotlib's are one for all threads
_NO_METADATA = MappingProxyType(dict.fromkeys(("Date", "Creator", "Format", "Type")))
_FONTS = re.compile(r"font-family: 'DejaVu Sans'[^;\"]*")
_TAG = re.compile(r"<[a-zA-Z][^>]*>")
_ID, _REFERENCE = re.compile(r' id="([^"]*)"'), re.compile(r'((?:url\(|href=")#)([^")]*)')
FIGURE_DPI = 160  # sharp on a dense screen, and a report of eight pictures stays below 1 MB


def keep(path: Path, value: Any) -> str:
    """Write `value` in the way that the suffix of `path` says; returns the file's sha256."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            if isinstance(value, bytes):  # as it came from elsewhere, a model from the store
                file.write(value)
            else:
                WRITERS[path.suffix](file, value)
            file.flush()
            os.fsync(file.fileno())
        sha256 = sha256_of(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return sha256


def load(path: Path) -> Any:
    """Read what `keep` wrote: a table, a fitted part, or JSON."""
    return READERS[path.suffix](path)


def sha256_of(path: Path) -> str:
    """Hash of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def outside(what: str, remedy: str) -> Iterator[None]:
    """Turn trouble with the disk into one message that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            why = os.strerror(error.errno)
            raise OutsideError(f"cannot write {what}: {why}. Free space, {remedy}.") from None
        is_blocked = error.errno in (errno.EEXIST, errno.ENOTDIR)
        why = "a file stands where a folder belongs" if is_blocked else error.strerror or str(error)
        raise OutsideError(f"cannot use {what}: {why}. Mend that, {remedy}.") from None


def trusted_types() -> list[str]:
    """Our own classes that a kept model may name; no other code is ever loaded."""
    from tasks import embedding, model, scaling, typicality

    ours = (module.TRUSTED_TYPES for module in (embedding, model, scaling, typicality))
    return sorted({"numpy.dtype", *(name for names in ours for name in names)})


def _write_table(file: BinaryIO, table: pd.DataFrame) -> None:
    table.to_parquet(file, index=False)


def _write_json(file: BinaryIO, value: Any) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, default=_plain, allow_nan=False)
    file.write(text.encode())


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, PurePath | pd.Period):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is no JSON value; note a number, text or a list")


def _write_part(file: BinaryIO, part: Any) -> None:
    import skops.io

    file.write(skops.io.dumps(part))


def _read_part(path: Path) -> Any:
    import skops.io

    return skops.io.load(path, trusted=trusted_types())


def _write_figure(file: BinaryIO, figure: Any) -> None:
    _expect_any_script()
    figure.savefig(file, format="png", dpi=FIGURE_DPI)


def _write_svg(file: BinaryIO, figure: Any) -> None:
    """A figure whose text stays text; the same figure gives the same bytes."""
    from matplotlib import rc_context

    _expect_any_script()
    drawn = io.BytesIO()
    with _SETTINGS, rc_context({"svg.fonttype": "none", "svg.hashsalt": "figure"}):
        figure.savefig(drawn, format="svg", dpi=FIGURE_DPI, metadata=dict(_NO_METADATA))
    file.write(_with_own_ids(_FONTS.sub("font-family: sans-serif", drawn.getvalue().decode())))


def _with_own_ids(svg: str) -> bytes:
    """No id but those that the figure needs, and those named so that no other figure has them.

    A page that holds several figures has one name space for all.
    """
    needed = {name for _, name in _REFERENCE.findall(svg)}
    own = "f" + hashlib.sha256(svg.encode()).hexdigest()[:10]

    def renamed(tag: re.Match[str]) -> str:
        named = _ID.sub(lambda m: f' id="{own}-{m[1]}"' if m[1] in needed else "", tag[0])
        return _REFERENCE.sub(rf"\g<1>{own}-\g<2>", named)

    return _TAG.sub(renamed, svg).encode()


def _expect_any_script() -> None:
    """A letter that matplotlib's font lacks is no reason for a warning: browsers have fonts.

    A filter for these words, as `catch_warnings` would change the filters of all threads.
    """
    warnings.filterwarnings("ignore", r"(Glyph|Matplotlib) .* (missing from|does not support)")


def _write_text(file: BinaryIO, text: str) -> None:
    file.write(text.encode())


WRITERS: Mapping[str, Callable[[BinaryIO, Any], None]] = MappingProxyType(
    {
        ".parquet": _write_table,
        ".json": _write_json,
        ".skops": _write_part,
        ".png": _write_figure,
        ".svg": _write_svg,
        ".html": _write_text,
        ".txt": _write_text,
    }
)
READERS: Mapping[str, Callable[[Path], Any]] = MappingProxyType(
    {
        ".parquet": pd.read_parquet,
        ".json": lambda path: json.loads(path.read_text()),
        ".skops": _read_part,
        ".png": Path.read_bytes,
        ".svg": Path.read_bytes,
    }
)
