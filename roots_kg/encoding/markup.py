"""HTML and XML to plain text.

The standard library's html.parser is not used: as HTML asks, it takes everything after an unclosed script or
comment for a part of it, and how much differs from one Python release to the next. Here markup that is not
closed is text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["StripMarkup"]

_REST = r"""(?=[\s>]|/>)(?:[^<>"']|"[^"]*"|'[^']*')*>"""
_MARKUP = re.compile(
    rf"""
      <!--.*?-->
    | <!\[CDATA\[(?P<text>.*?)\]\]>
    | <(?P<dropped>script|style)\b{_REST}.*?</(?P=dropped)\s*>
    | <[!?][^<>]*>
    | </?(?P<name>[a-z][\w:.-]*){_REST}
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_WITHIN_WORDS = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd mark q s samp small span strike "
    "strong sub sup time tt u var wbr".split()
)


@dataclass(frozen=True)
class StripMarkup:
    """Take tags and comments out of HTML or XML and write entities as the characters they name.

    The content of scripts and style sheets goes too. A tag that does not stand within words, such as a
    paragraph's or any of XML, ends the line. Markup is seen only where all of it stands in one text.

    Args:
        step: the name of the step.
    """

    step: Literal["markup"] = "markup"

    def build(self) -> Callable[[str], str]:
        """Return the step."""
        return _strip


def _strip(text: str) -> str:
    lines: list[list[str]] = [[]]
    end = 0
    for markup in _MARKUP.finditer(text):
        lines[-1].append(html.unescape(text[end : markup.start()]))
        lines[-1].append(markup["text"] or "")
        end = markup.end()
        if markup["name"] and markup["name"].lower() not in _WITHIN_WORDS:
            lines.append([])
    lines[-1].append(html.unescape(text[end:]))
    joined = ["".join(parts) for parts in lines]
    if len(joined) == 1:
        return joined[0]
    return "\n".join(line.strip() for line in joined if line.strip())
