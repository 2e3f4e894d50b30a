"""Fills the templates of the pages that sweeps, comparisons and searches leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def render(template: str, page: Mapping[str, Any], *, escape: bool) -> bytes:
    """The page as UTF-8; a name that the page does not give is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("marketsim.experiments", "templates"),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**page).encode()
