"""A table written block by block beside its place, and moved there when it is whole."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, BinaryIO, Self

import pyarrow as pa

from expectations.errors import InputError


def _parquet(file: BinaryIO, schema: pa.Schema) -> Any:
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(file, schema)


def _csv(file: BinaryIO, schema: pa.Schema) -> Any:
    from pyarrow.csv import CSVWriter

    return CSVWriter(file, schema)


WRITERS: Mapping[str, Any] = MappingProxyType({".parquet": _parquet, ".csv": _csv})


class TableFile:
    """A Parquet or CSV file, by its suffix; the first block says the columns.

    Nothing is at `path` before `finish`, and whatever was written is removed if that never comes.

    Raises
    ------
    InputError
        From the start, where the suffix is another.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix not in WRITERS:
            raise InputError(f"{path}: give a name that ends in {' or '.join(WRITERS)}.")
        self.path = path
        self.rows = 0
        self._unfinished = path.with_name(f".{path.name}.unfinished")
        self._file: BinaryIO | None = None
        self._writer: Any = None

    def write(self, block: pa.Table) -> None:
        """Add rows."""
        if self._file is None:
            self._file = self._unfinished.open("wb")
            self._writer = WRITERS[self.path.suffix](self._file, block.schema)
        self._writer.write_table(block)
        self.rows += block.num_rows

    def finish(self) -> None:
        """Put the table where it belongs; one of an earlier time goes, where there are no rows."""
        if self._file is None:
            self.path.unlink(missing_ok=True)
            return
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._unfinished.replace(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            with suppress(Exception):  # a file that could not be written cannot be closed well
                self._writer.close()
            with suppress(OSError):
                self._file.close()
            self._unfinished.unlink(missing_ok=True)
