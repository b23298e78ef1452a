"""What the Prefect UI shows of a run: the report's story in short, as Markdown and tables."""

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.cards import segments_told
from tasks.report_words import gates_told, rows_said
from tasks.reporting import CAPTIONS, template

MARKS = "|[]`*_~"  # of Markdown, within a line


def render_markdown(summary: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The page that the Prefect UI shows of a run; `pictures` are SVG by name."""
    page = template("summary.md.j2", plain=plain, code=code, address=address)
    return page.render(
        run=summary,
        segments=segments_told(summary),
        gates=gates_told(summary),
        rows_said=rows_said(summary),
        pictures=_inline(pictures),
    )


def gate_lines(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line per gate for the table in Prefect."""
    return [
        {
            "stage": gate["stage"],
            "verdict": gate["verdict"],
            "rules": gate["evaluated"],
            "did not hold": "; ".join(gate["failed"]),
        }
        for gate in gates_told(summary)
    ]


def _inline(pictures: Mapping[str, bytes]) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "caption": caption,
            "uri": f"data:image/svg+xml;base64,{base64.b64encode(pictures[name]).decode()}",
        }
        for name, caption in CAPTIONS.items()
        if name in pictures
    ]


def plain(text: object) -> str:
    """Text that is no markup, no link and no picture, and stays in its cell of a table."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    return "".join(f"&#{ord(letter)};" if letter in MARKS else letter for letter in line)


def code(text: object) -> str:
    """Text between two backticks."""
    return " ".join(str(text).split()).replace("`", "'")


def address(path: str) -> str:
    """A file as a link; nothing in its name is Markdown."""
    uri = Path(path).absolute().as_uri()
    return uri.replace("(", "%28").replace(")", "%29")
