"""Bytes that lie in a file and are mapped: as large as the disk, while memory stays small."""

import mmap
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from tasks import keeping

CHUNK = 1 << 24


def written_aside(write: Callable[[BinaryIO], None]) -> bytes | mmap.mmap:
    """Let `write` fill a file without a name, and map it; it goes when nobody holds it.

    Raises `OutsideError` where the folder of temporary files takes no more.
    """
    with (
        keeping.outside("the folder of temporary files (TMPDIR)", "then run again"),
        tempfile.TemporaryFile() as file,
    ):
        write(file)
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.tell() else b""


def mapped(path: Path) -> bytes | mmap.mmap:
    """Map a file; an empty one cannot be mapped, and is no bytes. Raises `OSError`."""
    with path.open("rb") as file:
        is_empty = not path.stat().st_size
        return b"" if is_empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def spooled(chunks: Iterable[bytes]) -> bytes | mmap.mmap:
    """Put chunks into such a file, one after the other."""
    return written_aside(lambda file: file.writelines(chunks))


def let_go(content: bytes | mmap.mmap) -> None:
    """Drop the pages that were read: they are on disk, and would count as this process's memory."""
    if isinstance(content, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        content.madvise(mmap.MADV_DONTNEED)
