"""Writes a run's report as one HTML page that needs no network, as Markdown, and its figures as files."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from marketsim.export.folder import write_file
from marketsim.export.images import FORMATS, PLAIN, FigureLook, StyleLike
from marketsim.recording.record import Record
from marketsim.report.content import Content, make_content, text_columns
from marketsim.report.phrases import percent

if TYPE_CHECKING:
    from jinja2 import Environment

CAPTIONS: Final = {
    "revenue_per_day": "Net revenue per simulated day, stacked by provider cohort",
    "fill_rate": "Share of orders leased over time, by tenant cohort, with its 95 % interval",
    "utilization": "Leased share of the capacity of all providers over time",
    "winning_prices": "Distribution of the prices of leases, by provider cohort",
    "close_reasons": "Why leases ended, beside the targets",
    "price_paths": "Prices that strategies and agents wrote down, over time",
}
_TEMPLATES: Final = Path(__file__).parent / "templates"


def write_pages(folder: Path, record: Record, summary: Mapping[str, Any], *, figures: bool = True, look: FigureLook = PLAIN) -> Content:
    """Write report.html, report.md and figures/*.png into a results folder and return what they say.

    `look` says in which further formats figures are written, and how they look. Each file is replaced in one step; figures that are not
    drawn any more are removed.
    """
    content = make_content(record, summary)
    by_format = {format_: _drawn(record, summary, format_, look.style) if figures else {} for format_ in look.formats}
    images = by_format["png"]
    place = folder / "figures"
    if images:
        place.mkdir(exist_ok=True)
    for format_ in FORMATS:
        there = by_format.get(format_, {})
        for name, image in there.items():
            write_file(place / f"{name}.{format_}", image)
        for name in CAPTIONS:
            if name not in there:
                (place / f"{name}.{format_}").unlink(missing_ok=True)
    version = str(summary.get("versions", {}).get("marketsim", ""))
    write_file(folder / "report.html", html_page(content, images, version))
    write_file(folder / "report.md", markdown_page(content, images))
    return content


def _drawn(record: Record, summary: Mapping[str, Any], format_: str, style: StyleLike | None) -> dict[str, bytes]:
    from marketsim.report.figures import draw_figures

    return draw_figures(record, summary, format_, style)


def html_page(content: Content, images: Mapping[str, bytes], version: str) -> str:
    """Return the page with the figures inside."""
    encoded = {name: base64.b64encode(image).decode() for name, image in images.items()}
    template = _environment(escape=True).get_template("report.html.j2")
    return template.render(content=content, images=encoded, captions=CAPTIONS, version=version)


def markdown_page(content: Content, images: Mapping[str, bytes]) -> str:
    """Return the report as Markdown with links to the figures' files."""
    template = _environment(escape=False).get_template("report.md.j2")
    text = template.render(content=content, images=list(images), captions=CAPTIONS)
    text = re.sub(r" +\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _environment(*, escape: bool) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

    def tick(good: bool | None) -> str:
        if good is None:
            return ""
        if not escape:
            return " ✓" if good else " ✗"
        return Markup(' <span class="good">✓</span>' if good else ' <span class="bad">✗</span>')

    def cell(text: str) -> str:
        """Markdown's own signs in names are kept as text; nothing may break a table's row."""
        return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", " ".join(text.split()))

    environment.globals.update(tick=tick, cell=cell, percent=percent, text_columns=text_columns)
    return environment
