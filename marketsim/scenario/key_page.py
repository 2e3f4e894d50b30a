"""Prints the keys of a kind of file as a page of Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from marketsim.scenario.key_list import DISTRIBUTION, Key, KeySection, keys_in, sections_of

LITERALS = """\
| Written | Is |
|---|---|
| duration | `90s`, `5m`, `24h`, `7d`, `1h30m`, `6117ms`, or `100 blocks`; a plain `0` |
| amount | `0.000001uve` or `0.5VE` (1 VE is 1,000,000 uve), exact to 18 decimals of a uve; a plain `0` |
| bytes | `1048576`, `512Mi`, `10Gi` (1024) or `10G` (1000) |
| millicores | `4000` or `4000m`: a core is 1000 |
| rate | `12/h`, `0.5/m`: per s, m, h or d |
| number | `0.25`, `1e6`, or the same as a text; at most `1e9`, unless another limit stands there |
| pairs | `{key: value, …}` |
"""
_FILES = {
    "scenario": "A scenario is a YAML file. Keys that are not here are refused, with the place and what would be accepted. Only `horizon` "
    "is needed everywhere, and something that happens: `tenants` and `providers`, `market`, or `messages`.",
    "provider": "A provider file is the training document's own, read as it is. A cohort of a scenario names it (`config:`).",
    "sdl": "A manifest of tenants, as the chain's tools read it. A cohort of a scenario names it (`order: {sdl: …}`).",
    "sweep": "A sweep is a YAML file beside a scenario; [sweeps.md](sweeps.md) says what its designs and rules are for.",
}
_ARTICLE = re.compile(r"<(\w+)>")


def key_page(kind: str, root: type[BaseModel]) -> str:
    """The page of one kind of file: a table a section, in the order of the file, each key with what it takes, its default and use."""
    sections = {section.name: section for section in sections_of(root)}
    lines = [f"# Keys of a {kind} file", "", _FILES[kind], ""]
    lines += [f"Printed by `marketsim schema {kind} --docs`; editors read the same from `marketsim schema {kind}`.", ""]
    if DISTRIBUTION in sections:
        lines += [*LITERALS.splitlines(), ""]
        lines += [f"What is drawn anew each time may be a [distribution](#{_anchor(sections[DISTRIBUTION])}) in place of one value.", ""]
    for section in sections.values():
        lines += _section(section, sections)
    return "\n".join(lines).rstrip() + "\n"


def manifest_page(schema: Mapping[str, Any]) -> str:
    """The page of a manifest's keys, out of its JSON Schema: a line a path, NAME and [] for what a manifest names or lists."""
    lines = ["# Keys of a manifest", "", _FILES["sdl"], "", "Printed by `marketsim schema sdl --docs`.", ""]
    lines += ["| Key | Takes | Is |", "|---|---|---|"]
    for path, part in _parts(schema, ""):
        types = part.get("type", "any")
        takes = " or ".join([types] if isinstance(types, str) else types)
        lines.append(f"| `{path}` | {takes} | {_sentence(part.get('description', ''))} |")
    return "\n".join(lines) + "\n"


def _parts(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every key below a JSON Schema with its path and its own schema, in order."""
    inside = dict(schema.get("properties", {}))
    if isinstance(schema.get("additionalProperties"), Mapping):
        inside["NAME"] = schema["additionalProperties"]
    for name, part in inside.items():
        at = f"{path}.{name}" if path else name
        yield at, part
        yield from _parts(part, at)
    if isinstance(schema.get("items"), Mapping) and schema["items"].get("properties"):
        yield from _parts(schema["items"], f"{path}[]")


def _title(section: KeySection) -> str:
    if not section.path or section.drawn:
        return section.name
    kind = _kind(section)
    return f"`{section.path}`, kind {kind}" if kind else f"`{section.path}`"


def _kind(section: KeySection) -> str:
    """The `kind:` by which a section is told from others at the same path."""
    field = section.model.model_fields.get("kind")
    kinds = () if field is None else get_args(field.annotation)
    return str(kinds[0]) if len(kinds) == 1 else ""


def _anchor(section: KeySection) -> str:
    return re.sub(r"[^\w -]", "", _title(section)).lower().replace(" ", "-")


def _section(section: KeySection, sections: Mapping[str, KeySection]) -> Iterator[str]:
    if section.path:
        yield from (f"## {_title(section)}", "")
        yield " ".join(_about(section))
        yield ""
    yield from ("| Key | Takes | Default | Is |", "|---|---|---|---|")
    for key in keys_in(section.model):
        yield f"| `{key.name}` | {_linked(key.takes, sections)} | {_default(key)} | {_sentence(key.description)} |"
    yield ""


def _about(section: KeySection) -> Iterator[str]:
    yield " ".join((inspect.getdoc(section.model) or "").split())
    others = [path for path in section.paths if path != section.path]
    if others and not section.drawn:
        yield f"The same stands at {', '.join(f'`{path}`' for path in others)}."
    short = [_short_form(form) for form in getattr(section.model, "short_forms", ())]
    if short:
        yield f"In short: {' or '.join(short)}."


def _short_form(form: str | Mapping[str, Any]) -> str:
    if isinstance(form, str):
        return f"the value of `{form}` alone"
    if "enum" in form:
        return ", ".join(f"`{value}`" for value in form["enum"])
    if "examples" in form:
        return f"such as `{form['examples'][0]}`"
    types = [form["type"]] if isinstance(form["type"], str) else form["type"]
    named = {
        "array": "`[low, high]`",
        "boolean": "`true` or `false`",
        "integer": "a whole number",
        "number": "a number",
        "string": "a text",
    }
    return " or ".join(named[name] for name in types)


def _linked(text: str, sections: Mapping[str, KeySection]) -> str:
    def link(match: re.Match[str]) -> str:
        section = sections.get(match[1])
        if section is None:
            return "path"
        return f"[{section.name.lower() if section.drawn else _kind(section) or 'mapping'}](#{_anchor(section)})"

    return _ARTICLE.sub(link, text).replace("|", "\\|")


def _default(key: Key) -> str:
    if key.field.is_required():
        return "needed"
    if isinstance(key.field.default, BaseModel) and key.field.default == type(key.field.default).model_construct():
        return "as there"
    return {"none": "–", "[]": "–", "{}": "–", '""': "–"}.get(key.default, f"`{key.default}`")


def _sentence(text: str) -> str:
    return text.replace("|", "\\|")
