"""Shows a thing in a few lines where notebooks show it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

_CELL = "text-align:left;padding:1px 12px 1px 0"


def html_table(title: str, rows: Mapping[str, str]) -> str:
    """Return a bold line and a table of words and their meaning, as HTML; texts are escaped."""
    lines = "".join(f"<tr>{_cell(key)}{_cell(value)}</tr>" for key, value in rows.items())
    return f"<div><b>{escape(title)}</b><table>{lines}</table></div>"


def _cell(text: str) -> str:
    return f'<td style="{_CELL}">{escape(text)}</td>'
