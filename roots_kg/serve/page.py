"""The page that a server shows to people, and what a browser lets it do."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from roots_kg.viz.page import policy

__all__ = ["page"]


@cache
def page() -> tuple[str, str]:
    """Return the page, and a policy by which it runs its own script and asks its own server, no more."""
    text = files("roots_kg").joinpath("templates/serve.html").read_text(encoding="utf-8")
    return text, policy(
        text, "connect-src 'self'", "style-src-attr 'unsafe-inline'", "frame-ancestors 'none'"
    )
