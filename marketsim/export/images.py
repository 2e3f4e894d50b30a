"""How figures look and become files: PNG for pages, PDF and SVG at the width of a printed column, the same bytes for the same figure."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from marketsim.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, GRID, SHADE = "#333333", "#dddddd", "#f0f0f0"
COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a5195", "#999999")
"""Okabe and Ito's palette, which colour-blind readers tell apart."""

FORMATS: Final = ("png", "pdf", "svg")
NARROW: Final = 3.5
"""Inches of a column of a paper (89 mm), the width of PDF and SVG."""

StyleLike = str | Path | Mapping[str, Any] | Callable[["Figure"], Any]
"""How figures look: a style sheet of matplotlib (a name or a file), its parameters, or a function that is given each finished figure."""

STYLE: Final[Mapping[str, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "path.simplify": True,
    "svg.hashsalt": "marketsim",
}
_COLUMN: Final[Mapping[str, Any]] = {
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.titlepad": 6,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}


class FigureLook(NamedTuple):
    """In which formats figures are written, and how they look."""

    formats: tuple[str, ...] = ("png",)
    style: StyleLike | None = None


PLAIN: Final = FigureLook()


def look_of(formats: Sequence[str] | None, style: StyleLike | None) -> FigureLook:
    """Return a look whose formats begin with png, which pages show. Raises InputError for a format or a style that there is not."""
    unknown = [name for name in formats or () if name not in FORMATS]
    if unknown:
        raise InputError(f"format: {unknown[0]!r} is none of {', '.join(FORMATS)}")
    if style is not None and not callable(style):
        _parameters(style)
    return FigureLook(tuple(name for name in FORMATS if name == "png" or name in (formats or ())), style)


def is_narrow(format_: str) -> bool:
    """Return whether figures of a format are as wide as a column."""
    return format_ != "png"


@contextmanager
def drawn(format_: str, style: StyleLike | None = None, own: Mapping[str, Any] = STYLE, *, is_shown: bool = False) -> Iterator[None]:
    """Within this context figures are drawn as they should look in files of a format; `own` is the style of a kind of figures.

    Where `is_shown`, in a notebook, its own backend stays, which shows what pyplot draws; elsewhere none is to look for a window.
    """
    import matplotlib as mpl

    if is_shown:
        import matplotlib.pyplot

    more = _COLUMN if is_narrow(format_) else {}
    shown = {"backend": "agg"} if not is_shown else {name: mpl.rcParams[name] for name in ("backend", "interactive")}
    users = {} if style is None or callable(style) else _parameters(style)
    with mpl.rc_context({**mpl.rcParamsDefault, **own, **more, **users, **shown}):
        yield


def new_figure(format_: str = "png", width: float = 7.6, height: float = 4.1) -> Figure:
    """Return an empty figure of inches, or as wide as a column where the format says so."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # No pyplot: it costs a second to import and keeps every figure it makes.
    size = (NARROW, min(NARROW * height / width * 1.35, 1.4 * NARROW)) if is_narrow(format_) else (width, height)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def fit_titles(figure: Figure) -> None:
    """Break the titles of a figure that is narrower than they are."""
    letters = int(figure.get_figwidth() / (1 if figure.get_figwidth() > NARROW else 0.9) * 13)
    for axes in figure.axes:
        for place in ("left", "center", "right"):
            if len(title := axes.get_title(place)) > letters:
                axes.set_title(textwrap.fill(title, letters), loc=place)


def image_bytes(figure: Figure, format_: str = "png", style: StyleLike | None = None) -> bytes:
    """Return a figure as a file's content, without date and program; a style that is a function has its say first."""
    fit_titles(figure)
    if callable(style):
        style(figure)
    out = io.BytesIO()
    metadata: dict[str, Any] = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[format_]
    figure.savefig(out, format=format_, metadata=metadata)
    return out.getvalue()


class _Report(NamedTuple):
    """The look of the figures that are drawn for a report, and by each image what it is in other formats."""

    look: FigureLook
    copies: dict[bytes, dict[str, bytes]]


_REPORT: ContextVar[_Report | None] = ContextVar("report", default=None)


@contextmanager
def looking(look: FigureLook) -> Iterator[None]:
    """Within this context the figures of sweeps, comparisons and searches have this look: its style, and copies in its formats."""
    token = _REPORT.set(_Report(look, {}))
    try:
        yield
    finally:
        _REPORT.reset(token)


def present_look() -> FigureLook:
    """Return the look of the report that is being drawn."""
    report = _REPORT.get()
    return PLAIN if report is None else report.look


def copies_made() -> dict[bytes, dict[str, bytes]]:
    """Return the copies in other formats of the report that is being drawn, by image."""
    report = _REPORT.get()
    return {} if report is None else report.copies


def keep_copies(copies: Mapping[bytes, Mapping[str, bytes]]) -> None:
    """Take copies that another process has made for the report that is being drawn."""
    for image, formats in copies.items():
        copies_made().setdefault(image, {}).update(formats)


def styled(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with which a figure of a report is drawn: `own`, and over them those of the look."""
    report = _REPORT.get()
    style = None if report is None else report.look.style
    return {**own} if style is None or callable(style) else {**own, **_parameters(style)}


def report_image(figure: Figure, dpi: int = 150) -> bytes:
    """Return a report's figure as PNG, without date and program; where a look asks for other formats, `with_copies` has them."""
    report = _REPORT.get()
    if report is not None and callable(report.look.style):
        report.look.style(figure)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=dpi, metadata={"Software": None})
    image = out.getvalue()
    for format_ in () if report is None else report.look.formats:
        if format_ != "png":
            assert report is not None
            copy = io.BytesIO()
            figure.savefig(copy, format=format_, metadata={"pdf": {"CreationDate": None}, "svg": {"Date": None}}[format_])
            report.copies.setdefault(image, {})[format_] = copy.getvalue()
    return image


def with_copies(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return files by name with every image that `report_image` made in other formats too, beside it and named as it is."""
    report = _REPORT.get()
    found = dict(files)
    for name, content in files.items() if report is not None else ():
        assert report is not None
        for format_, copy in report.copies.get(content, {}).items():
            found[f"{name.removesuffix('.png')}.{format_}"] = copy
    return found


def _parameters(style: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of matplotlib that a style sheet or a mapping sets; raises InputError for what is none."""
    import matplotlib as mpl
    from matplotlib.style import library as sheets

    if isinstance(style, Mapping):
        unknown = [name for name in style if name not in mpl.rcParams]
        if unknown:
            raise InputError(f"style: {unknown[0]!r} is no parameter of matplotlib, one is 'font.size'")
        return style
    if str(style) in sheets:
        return dict(sheets[str(style)])
    if not Path(style).is_file():
        raise InputError(f"style: {style} is neither a file nor a style sheet of matplotlib, one is 'grayscale'")
    return dict(mpl.rc_params_from_file(str(style), fail_on_error=False, use_default_template=False))
