"""Cells: what is a number, an id or a flag, and which cells cannot be read."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations.contract import Column
from expectations.errors import InputError

BLANKS = " \t"
# `[.]` stands for the decimal mark.
NUMBER = r"\A[+-]?(?:(?:[0-9]+(?:[.][0-9]*)?|[.][0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity))\z"
NO_IDS = ("na", "n/a", "#n/a", "nan", "null", "none")
YES = ("yes", "true", "1", "y", "t")
NO = ("no", "false", "0", "n", "f")
NO_OBJECTION = (*NO, "off", "0.0")


class Cells(NamedTuple):
    """A column's values, null where there is a gap, and the text of what cannot be read."""

    values: pa.ChunkedArray
    unreadable: pa.ChunkedArray


def read_cells(text: pa.ChunkedArray, column: Column, decimal: str) -> Cells:
    """Read a column by its kind."""
    if column.is_numeric:
        return read_number(text, decimal)
    return read_flag(text) if column.kind == "flag" else read_text(text)


def settle_decimal(columns: pa.Table, name: str) -> str:
    """Tell the decimal mark from every number; raises `InputError` where it cannot be told."""
    return decimal_of(*decimal_marks(columns), name)


def decimal_of(marks: set[str], either: bool, name: str) -> str:
    """Tell the decimal mark from what `decimal_marks` found, or raise `InputError`."""
    if len(marks) == 2:
        problem = "some numbers have a decimal comma and others a decimal point"
    elif not marks and either:
        problem = "numbers such as 1,234 or 1.234 may be thousands or have a fraction"
    else:
        return min(marks, default=".")
    raise InputError(f"{name}: {problem}. Name the decimal mark: --decimal , or --decimal .")


def decimal_marks(columns: pa.Table) -> tuple[set[str], bool]:
    """Give the marks that surely are decimal, and whether some may be that or thousands."""
    marks, either = set(), False
    for column in columns.columns:
        text = pc.ascii_trim(column, characters=BLANKS)
        for mark, other in (",.", ".,"):
            fraction = pc.match_substring_regex(
                text,
                rf"\A[+-]?(?:[0-9]*|[0-9]{{1,3}}(?:[{other}][0-9]{{3}})+)[{mark}][0-9]+"
                r"(?:[eE][+-]?[0-9]+)?\z",
            )
            thousands = pc.match_substring_regex(
                text, rf"\A[+-]?[1-9][0-9]{{0,2}}[{mark}][0-9]{{3}}\z"
            )
            if pc.any(pc.and_not(fraction, thousands)).as_py():
                marks.add(mark)
            either = either or bool(pc.any(thousands).as_py())
    return marks, either


def read_number(column: pa.ChunkedArray, decimal: str) -> Cells:
    """Read float64: text by the definition in `NUMBER`; NaN in a typed column is a gap."""
    column = _decoded(column)
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = column.cast(pa.float64(), safe=False)
        if pc.any(pc.is_nan(values)).as_py():
            values = pc.if_else(pc.is_nan(values), _null(pa.float64()), values)
        return Cells(values, _nothing(column))
    if not _is_text(kind):
        return Cells(_nothing(column, pa.float64()), as_text(column))
    if decimal == ".":
        try:
            values = column.cast(pa.float64())
            if not pc.any(pc.is_nan(values)).as_py():
                return Cells(values, _nothing(column))
        except pa.ArrowInvalid:
            pass  # told cell by cell below
    return _numbers_among(column, decimal)


def _numbers_among(column: pa.ChunkedArray, decimal: str) -> Cells:
    text = pc.ascii_trim(column, characters=BLANKS)
    is_number = pc.match_substring_regex(text, NUMBER.replace("[.]", f"[{decimal}]"))
    number = pc.if_else(is_number, text, _null(text.type))
    values = pc.replace_substring(number, decimal, ".").cast(pa.float64())
    is_gap = pc.equal(text, "")
    return Cells(values, _where(pc.invert(pc.or_(is_number, is_gap)), column))


def read_id(column: pa.ChunkedArray) -> Cells:
    """Read ids as text without blanks around them; "NA", "NULL" and the like are no ids."""
    text = pc.utf8_trim_whitespace(as_text(column))
    is_none = pc.is_in(pc.utf8_lower(text), pa.array(NO_IDS))
    is_id = pc.and_not(pc.not_equal(text, ""), is_none)
    return Cells(_where(is_id, text), _where(is_none, text))


def read_flag(column: pa.ChunkedArray) -> Cells:
    """Read yes or no, as booleans that may be null."""
    text = as_text(column)
    said = _said(text)
    yes, no = (pc.is_in(said, pa.array(words)) for words in (YES, NO))
    values = pc.if_else(pc.or_(yes, no), yes, _null(pa.bool_()))
    is_gap = pc.fill_null(pc.equal(said, ""), True)
    return Cells(values, _where(pc.invert(pc.or_(is_gap, pc.or_(yes, no))), text))


def read_text(column: pa.ChunkedArray) -> Cells:
    """Read text as it is; an empty cell is a gap."""
    text = as_text(column)
    return Cells(_where(pc.not_equal(text, ""), text), _nothing(text))


def objects(column: pa.ChunkedArray) -> np.ndarray:
    """Tell where an objection is anything but clearly a no: a gap or rubbish objects, too."""
    return ~pc.is_in(_said(as_text(column)), pa.array(NO_OBJECTION)).to_numpy()


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write any column as text, whole numbers without a fraction (pandas has floats for gaps)."""
    column = _decoded(column)
    kind = column.type
    if _is_text(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind):
        values = column.cast(pa.float64())
        values = pc.if_else(pc.is_nan(values), _null(pa.float64()), values)
        is_whole = pc.and_(pc.equal(values, pc.floor(values)), pc.less(pc.abs(values), 2.0**53))
        whole = _where(is_whole, values).cast(pa.int64()).cast(pa.string())
        return pc.coalesce(whole, values.cast(pa.string()))
    written = [None if value is None else str(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(written, pa.string())])


def _said(text: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_lower(pc.utf8_trim_whitespace(text))


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Resolve dictionaries, and read bytes and columns of nothing as text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if not (pa.types.is_null(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return column
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        cells = [cell and cell.decode("utf-8", "backslashreplace") for cell in column.to_pylist()]
        return pa.chunked_array([pa.array(cells, pa.string())])


def _is_text(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _where(mask: pa.ChunkedArray, column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(mask, column, _null(column.type))


def _null(kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(None, kind)


def _nothing(column: pa.ChunkedArray, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(len(column), kind or pa.string())])
