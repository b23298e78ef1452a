"""The words of a query: the month is filled in, and only reading is let through."""

import re

import pandas as pd

from expectations.errors import InputError

WITHOUT_CODE = (  # text, names and comments: no `:name` and no `;` is looked for in them
    r"[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\""
    r"|--[^\n]*|/\*.*?\*/|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"
)
TOKEN = re.compile(rf"{WITHOUT_CODE}|(?<![:\w]):(?P<name>[A-Za-z_]\w*)|(?P<end>;)", re.DOTALL)
READS = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:select|with|values|table)\b", re.I | re.S)


def fill_month(query: str, month: pd.Period) -> str:
    """Fill `:month` in; raises `InputError` for another name, or for more than one SELECT.

    Casts (`::date`) and whatever stands in quotes or comments stay as they are.
    """
    sql = query.strip().removesuffix(";").rstrip()
    if not READS.match(sql):
        raise InputError("--query: give one SELECT (or WITH); nothing is ever written there.")

    def filled(found: re.Match[str]) -> str:
        if found["end"]:
            raise InputError("--query: give one statement; there is a ; in the middle.")
        if found["name"] not in (None, "month"):
            raise InputError(
                f"--query: only :month can be filled in, and there is :{found['name']}. Write the "
                "value itself."
            )
        return f"'{month.strftime('%Y-%m')}'" if found["name"] else found[0]

    return TOKEN.sub(filled, sql)
