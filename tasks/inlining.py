"""Figures within a page: matplotlib's SVG as part of the HTML, in the page's own colours."""

import html
import re
from collections.abc import Mapping

from markupsafe import Markup

from tasks.drawing import ACCENT, INK, PALE, PAPER, QUIET, SOFT, WARM

# What a page draws light or dark, as it is read; a segment's colour is the same in both.
THEMED: Mapping[str, str] = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    ACCENT: "var(--accent)",
    QUIET: "var(--quiet)",
    PALE: "var(--pale)",
    WARM: "var(--warm)",
    PAPER: "var(--paper)",
}
_COLOUR = re.compile("|".join(THEMED), re.IGNORECASE)


def inline(svg: bytes, says: str) -> Markup:
    """A figure as part of a page, with the words that stand for it where nobody sees it.

    Its size follows the page, and the colours that all figures share follow the page's theme.
    """
    _, _, body = svg.decode().partition("<svg")
    opening, _, rest = body.partition(">")
    (box,) = re.findall(r'viewBox="([^"]*)"', opening)
    links = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
    start = f'<svg {links} viewBox="{box}" role="img" aria-label="{html.escape(says)}">'
    drawn = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    return Markup(start + _COLOUR.sub(lambda m: THEMED[m[0].lower()], drawn).strip())
