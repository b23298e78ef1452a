"""How a customer file is written: its format, encoding, delimiter and headers."""

import codecs
import csv
import difflib
import gzip
import io
import mmap
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from expectations.contract import Contract, header_key
from expectations.errors import InputError
from tasks.mapped import CHUNK, let_go, spooled

Content = bytes | mmap.mmap

FOREIGN: Mapping[bytes, str] = {
    b"PK\x03\x04": "an Excel or zip file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"ARROW1\x00\x00": "an Arrow (Feather) file",
    b"Obj\x01": "an Avro file",
    b"SQLite format 3\x00": "an SQLite database",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF-": "a PDF document",
    b"<!DOCTYPE": "a web page",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML file",
}
# The UTF-32 marks come first: the little-endian one begins like that of UTF-16.
BYTE_ORDER_MARKS: Mapping[bytes, str] = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
DELIMITERS = ",;\t|"
TABS: Mapping[str, str] = {"\\t": "\t", "tab": "\t"}  # what a shell or a form hands over
HEAD = 1 << 20
MAX_CONTROL_SHARE = 0.05
PANDAS_INDEX = re.compile(r"__index_level_[0-9]+__")


class Text(NamedTuple):
    """A text file in UTF-8: `content` from byte `start` on, and the encoding that it had."""

    content: Content
    start: int
    encoding: str


class Header(NamedTuple):
    """Header cells, and where the data begin: byte `start`, line number `line`."""

    delimiter: str
    cells: tuple[str, ...]
    start: int
    line: int


class Headers(NamedTuple):
    """Where the contract's columns stand, which headers are unknown, which spelled otherwise."""

    positions: dict[str, int]
    left_out: list[str]
    renamed: dict[str, str]


def inflate(content: Content, name: str) -> tuple[Content, str]:
    """Unpack gzip, known by its first bytes; give the content and the compression's name."""
    if content[:2] != b"\x1f\x8b":
        return content, ""
    return spooled(_inflated(content, name)), "gzip"


def _inflated(content: Content, name: str) -> Iterator[bytes]:
    packed = io.BytesIO(content) if isinstance(content, bytes) else content
    packed.seek(0)
    try:
        with gzip.GzipFile(fileobj=packed) as unpacked:
            yield from iter(partial(unpacked.read, CHUNK), b"")
        return
    except EOFError:
        problem = "is cut off"
    except (OSError, zlib.error):
        problem = "is damaged"
    raise InputError(f"{name}: the gzip file {problem}. Copy it again, or export it anew.")


def refuse_foreign(content: Content, name: str) -> None:
    """Raise `InputError` for an empty file and for what is known to be no customer table."""
    if not len(content):
        raise InputError(f"{name}: the file is empty (0 bytes). Export it again.")
    for magic, what in FOREIGN.items():
        if content[: len(magic)] == magic:
            raise InputError(
                f"{name}: this is {what}, not a table. Export the customers as CSV or Parquet."
            )


def to_utf8(content: Content, asked: str, name: str) -> Text:
    """Bring a text file into UTF-8, by the encoding asked for or by its byte order mark.

    What is UTF-8 already is checked and handed on without a copy. Raises `InputError` where the
    encoding cannot be told; no 8-bit encoding is ever guessed.
    """
    head = bytes(content[:4096])
    marked = [encoding for mark, encoding in BYTE_ORDER_MARKS.items() if head.startswith(mark)]
    if not asked and not marked:
        _refuse_binary(head, name)
    encoding = _known_encoding(asked) if asked else marked[0] if marked else "utf-8"
    if encoding in ("utf-8", "utf-8-sig"):
        _refuse_other_than_utf8(content, name)
        return Text(content, 3 if head.startswith(codecs.BOM_UTF8) else 0, "utf-8")
    try:
        return Text(spooled(_recoded(content, encoding)), 0, encoding)
    except UnicodeError:
        raise InputError(
            f"{name}: the file is damaged, or not written in {encoding}. "
            "Copy it again, or name its encoding with --encoding."
        ) from None


def _recoded(content: Content, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    for start in range(0, len(content), CHUNK):
        piece = decoder.decode(content[start : start + CHUNK], start + CHUNK >= len(content))
        yield (piece if start else piece.removeprefix("\ufeff")).encode()
        let_go(content)


def _known_encoding(asked: str) -> str:
    try:
        "".encode(asked).decode(asked)  # refuses codecs that are no text encoding
        return codecs.lookup(asked).name
    except (LookupError, ValueError):
        raise InputError(
            f"--encoding {asked}: no such encoding. Give one such as utf-8, latin-1, cp1252 "
            "or utf-16-le, or leave it out to have it found."
        ) from None


def _refuse_binary(head: bytes, name: str) -> None:
    zeros = [head[start::2].count(0) / max(1, len(head[start::2])) for start in (0, 1)]
    if max(zeros) > 0.4 and min(zeros) == 0:
        ending = "le" if zeros[1] else "be"
        raise InputError(
            f"{name}: this looks like UTF-16 without a byte order mark. "
            f"Say so with --encoding utf-16-{ending}."
        )
    controls = sum(byte < 32 and byte not in b"\t\n\f\r\x1a" for byte in head)
    if controls > max(4, MAX_CONTROL_SHARE * len(head)):
        raise InputError(
            f"{name}: the file is binary and no format that is read here. "
            "Export the customers as CSV, CSV.gz or Parquet."
        )


def _refuse_other_than_utf8(content: Content, name: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(content), CHUNK):
        piece = content[start : start + CHUNK]
        let_go(content)
        try:
            decoder.decode(piece, final=start + CHUNK >= len(content))
        except UnicodeDecodeError as error:
            line = 1 + content[: start + error.start].count(b"\n")
            raise InputError(
                f"{name}: line {line} is not UTF-8. Name the file's encoding with --encoding, "
                "for example --encoding latin-1 or --encoding cp1252."
            ) from None


def find_header(text: Text, contract: Contract, asked: str, name: str) -> Header:
    """Read the header with the delimiter asked for, or with the one that fits the contract best.

    Raises `InputError` where there is no header, or where no delimiter splits it.
    """
    if asked:
        return _read_header(text, _single_character(asked), name)
    known = {header_key(header) for header in contract.headers}
    headers = [_read_header(text, delimiter, name) for delimiter in DELIMITERS]

    def fit(header: Header) -> tuple[int, int]:
        return sum(header_key(cell) in known for cell in header.cells), len(header.cells)

    best = max(headers, key=fit)
    if fit(best) == (0, 1):
        raise InputError(
            f"{name}: the first line is one cell, and no column of contract {contract.name}. "
            "Name the character between cells with --delimiter, for example --delimiter '^', "
            "or give another file."
        )
    return best


def _single_character(asked: str) -> str:
    delimiter = TABS.get(asked, asked)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise InputError(
            f"--delimiter {asked!r}: give one character, for example --delimiter ';' "
            r"(a tab is \t), or leave it out to have it found."
        )
    return delimiter


def _read_header(text: Text, delimiter: str, name: str) -> Header:
    head = str(text.content[text.start : text.start + HEAD], "utf-8", "ignore")
    lines = io.StringIO(head, newline="")
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        cells = next((cells for cells in reader if any(map(str.strip, cells))), None)
    except csv.Error:
        cells = [""]  # a cell too long for any header
    if cells is None:
        raise InputError(f"{name}: the file holds blank lines only. Export it again.")
    start = text.start + len(head[: lines.tell()].encode())
    return Header(delimiter, tuple(cells), start, reader.line_num + 1)


def match_headers(found: Sequence[str], contract: Contract, name: str) -> Headers:
    """Find the contract's columns among the headers, whatever their case and punctuation.

    Raises `InputError` that names all missing columns, each with the closest header, and all
    doubled ones.
    """
    column_of = {header_key(column): column for column in (contract.id.column, *contract.columns)}
    for column, asked in contract.columns.items():
        column_of |= {header_key(alias): column for alias in asked.aliases}
    wanted = [contract.id.column]
    wanted += [column for column, asked in contract.columns.items() if asked.use != "ignore"]

    places: dict[str, list[int]] = {column: [] for column in wanted}
    unknown: list[str] = []
    for place, header in enumerate(found):
        known = column_of.get(header_key(header), "")
        if known in places:
            places[known].append(place)
        elif not known and not PANDAS_INDEX.fullmatch(header):
            unknown.append(header.strip() or f"(no name, column {place + 1})")
    if not any(places.values()):
        # The first line may be a customer: it is not quoted.
        raise InputError(
            f"{name}: not the table of contract {contract.name}. None of its {len(wanted)} columns "
            f"({_some(wanted)}) is among the headers. Give another file, add the missing header "
            "line, or name the character between cells with --delimiter."
        )
    problems = _doubled(places, found) + _missing(places, unknown)
    if problems:
        raise InputError(
            f"{name}: {' '.join(problems)} Correct the headers of the file, or the columns and "
            f"aliases of contract {contract.name}."
        )
    positions = {column: where[0] for column, where in places.items()}
    renamed = {found[at]: column for column, at in positions.items() if found[at] != column}
    return Headers(positions, unknown, renamed)


def _doubled(places: Mapping[str, Sequence[int]], found: Sequence[str]) -> list[str]:
    doubled = [
        f"{column} (as {' and '.join(repr(found[place]) for place in where)})"
        for column, where in places.items()
        if len(where) > 1
    ]
    return [f"Doubled: {', '.join(doubled)}."] if doubled else []


def _missing(places: Mapping[str, Sequence[int]], unknown: Sequence[str]) -> list[str]:
    header_of = {header_key(header): header for header in unknown}
    missing = []
    for column in [column for column, where in places.items() if not where]:
        close = difflib.get_close_matches(header_key(column), header_of, n=1)
        closest = f"closest header: {header_of[close[0]]!r}" if close else "no header like it"
        missing.append(f"{column} ({closest})")
    if not missing:
        return []
    return [f"{len(missing)} of {len(places)} columns missing: {', '.join(missing)}."]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
