"""Makes docs/reference.md of the docstrings of the public names: `python docs/reference_page.py`; a test holds them together."""

from __future__ import annotations

import inspect
from pathlib import Path

import marketsim as ms

PAGE = Path(__file__).parent / "reference.md"

HEAD = """# The public names

Made of their docstrings by `docs/reference_page.py`. [From Python](python.md) shows how they are used.
"""


def page() -> str:
    """Return the text of the page: functions first, then classes with their methods, each in the order of their names."""
    values = [(name, getattr(ms, name)) for name in ms.__all__]
    functions = [(name, value) for name, value in values if inspect.isfunction(value)]
    classes = [(name, value) for name, value in values if inspect.isclass(value)]
    parts = [HEAD, "## Functions\n"]
    parts += [_section("###", f"{name}{_arguments(value)}", value) for name, value in functions]
    parts += ["## Classes\n"]
    for name, value in classes:
        parts.append(_section("###", name, value))
        own = [base for base in reversed(value.__mro__) if base.__module__.startswith("marketsim.")]
        for member, inner in {key: inner for base in own for key, inner in vars(base).items()}.items():
            is_call = member == "__call__" and getattr(value, "_is_protocol", False)
            if (member.startswith("_") and not is_call) or not (
                inspect.isfunction(inner) or isinstance(inner, property) or hasattr(inner, "func")
            ):
                continue
            parts.append(_section("####", f"{name}.{member}{_arguments(inner) if inspect.isfunction(inner) else ''}", inner))
    return "\n".join(parts).rstrip() + "\n"


def _arguments(function: object) -> str:
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]  # type: ignore[arg-type]
    words, starred = [], False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            words.append("*")
            starred = True
        mark = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        starred = starred or mark == "*"
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        words.append(f"{mark}{parameter.name}{default}")
    return f"({', '.join(words)})"


def _section(marks: str, title: str, value: object) -> str:
    text = inspect.getdoc(value) or ""
    out, fenced = [], False
    for line in text.splitlines():
        is_code = line.startswith((">>>", "...")) or (fenced and line.strip() != "")
        if is_code != fenced:
            out.append("```python" if is_code else "```")
            fenced = is_code
        out.append(line)
    if fenced:
        out.append("```")
    body = "\n".join(out)
    return f"{marks} `{title}`\n\n{body}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
