"""From a URI to bytes: local files mapped into memory, anything else through fsspec."""

import difflib
import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pandas as pd

from expectations.errors import InputError, OutsideError
from tasks.dialects import Content
from tasks.mapped import CHUNK, let_go, mapped

# A name before `@` with whatever follows its colon; a port is no password.
USERINFO = re.compile(r"(?<=://)(?:[^/?#:@]*@|[^/?#:@]*:(?![0-9]+(?:[/?#]|\Z)).*@)")
REFUSALS: Mapping[type[Exception], str] = {
    IsADirectoryError: "this is a folder. Give one file in it.",
    NotADirectoryError: "no such file, and part of its path is no folder. Correct --source.",
    PermissionError: "reading is not allowed. Grant access to the account that runs this.",
}


class Fetched(NamedTuple):
    """A source's bytes, their sha256, and its name for messages (without secrets)."""

    content: Content
    sha256: str
    name: str


def public_uri(uri: str) -> str:
    """Strip user, password and query from a URL; a path stays as it is."""
    if "://" not in uri:
        return uri
    return re.split(r"[?#]", USERINFO.sub("", uri), maxsplit=1)[0]


def fetch(uri: str) -> Fetched:
    """Open a local file (mapped into memory), or load one from any URL that fsspec knows.

    Raises `InputError` where the call must change (no such file, a folder, not allowed, unknown
    protocol, missing driver), and `OutsideError` where the network or a disk failed.
    """
    is_local = "://" not in uri or uri.startswith("file://")
    content = _map_file(uri) if is_local else _load(uri)
    return fetched_content(content, public_uri(uri))


def fetched_content(content: Content, name: str) -> Fetched:
    """Hand on bytes with their hash, which is taken in blocks."""
    digest = hashlib.sha256()
    for start in range(0, len(content), CHUNK):
        digest.update(content[start : start + CHUNK])
        let_go(content)
    return Fetched(content, digest.hexdigest(), name)


def fetched_table(table: pd.DataFrame, name: str) -> Fetched:
    """Hand on a table that was made here as if it had been fetched."""
    return fetched_content(table.to_parquet(index=False), name)


def _map_file(uri: str) -> Content:
    given = unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri
    try:
        path = Path(given).expanduser()
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(f"source {given}: this is a device or a pipe. Give a file.")
        return mapped(path)
    except FileNotFoundError:
        raise InputError(_not_found(given, path.parent.iterdir)) from None
    except tuple(REFUSALS) as error:
        raise InputError(f"source {given}: {REFUSALS[type(error)]}") from None
    except (OSError, ValueError, RuntimeError) as error:
        number = getattr(error, "errno", None)
        if number in (None, errno.ENAMETOOLONG, errno.ELOOP):
            raise InputError(f"source {given!r}: not a usable path. Correct --source.") from None
        raise OutsideError(
            f"source {given}: reading failed ({os.strerror(number)}). "
            "See to the disk, then run again."
        ) from None


def _load(uri: str) -> Content:
    from fsspec.core import url_to_fs

    shown = public_uri(uri)
    _require_drivers(uri, shown)
    try:
        system, path = url_to_fs(uri)
        has_folders = "http" not in system.protocol
        if has_folders and system.isdir(path):
            raise IsADirectoryError
        with tempfile.NamedTemporaryFile() as file:  # as large as the disk, not the memory
            system.get_file(path, file.name)
            return mapped(Path(file.name))
    except FileNotFoundError:
        parent = path.rpartition("/")[0]
        names = partial(system.ls, parent, detail=False) if has_folders else list
        raise InputError(_not_found(shown, names)) from None
    except tuple(REFUSALS) as error:
        raise InputError(f"source {shown}: {REFUSALS[type(error)]}") from None
    except Exception as error:  # each driver has its own; none is quoted, it may hold the URL
        if getattr(error, "status", None) in (401, 403):
            raise InputError(f"source {shown}: {REFUSALS[PermissionError]}") from None
        raise OutsideError(
            f"source {shown}: loading failed ({type(error).__name__}). "
            "See to the network, the server and the credentials, then run again."
        ) from None


def _require_drivers(uri: str, shown: str) -> None:
    import fsspec

    for protocol in re.findall(r"(?:\A|::)([^:/]+)(?=:)", uri):
        try:
            fsspec.get_filesystem_class(protocol)
        except ImportError as error:
            raise InputError(
                f"source {shown}: {protocol}:// needs a driver that is not installed ({error}). "
                "Install it, or copy the file to this machine."
            ) from None
        except ValueError:
            raise InputError(
                f"source {shown}: unknown protocol {protocol}://. Give a path, or a URL such as "
                "https://, s3://, gs:// or abfs://."
            ) from None


def _not_found(shown: str, names: Callable[[], Iterable[Any]]) -> str:
    near: list[str] = []
    with suppress(Exception):  # a folder that cannot be listed has no names to offer
        others = [str(other).rpartition("/")[2] for other in names()]
        near = difflib.get_close_matches(shown.rpartition("/")[2], others, n=3)
    closest = f" Closest there: {', '.join(sorted(near))}." if near else ""
    return f"source {shown}: no such file.{closest} Correct --source."
