"""Turns what pydantic found into located lines: `file:line:col: key: what is wrong, what would be
accepted`.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from marketsim.scenario.distributions import Distribution, Frozen
from marketsim.scenario.literals import Reading, printable, shown
from marketsim.scenario.yaml_source import KeyPath, Problem, Source

_KEYS_SHOWN = 14
_KEY_LETTERS = 60
PROBLEMS_MAX = 200
"""Errors that are told of one file; who has more has read enough."""


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys that a model's mapping may have, as files spell them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def unwrapped(annotation: Any) -> Any:
    """The type without `Annotated` and without `| None`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType):
            parts = [part for part in get_args(annotation) if part is not type(None)]
            if len(parts) != 1:
                return Any
            annotation = parts[0]
        else:
            return annotation


def below(annotation: Any, key: str | int) -> Any:
    """The type of what stands at `key` inside a value of the type; None when nothing can stand there."""
    annotation = unwrapped(annotation)
    if annotation is Any:
        return Any
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            if key in (name, field.alias):
                return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        return None
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (list, tuple) and isinstance(key, int):
        return arguments[0] if len(arguments) == 2 and arguments[1] is Ellipsis else arguments[min(key, len(arguments) - 1)]
    if origin is dict and isinstance(key, str):
        return arguments[1]
    return None


def type_at(root: Any, path: KeyPath) -> Any:
    """The type at a path below `root`, or None."""
    for key in path:
        root = below(root, key)
        if root is None:
            return None
    return unwrapped(root)


def reading_of(annotation: Any) -> Reading | None:
    """How a literal of the type is read; of a mapping with a short form, how that is. None where nothing says so."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            inner, *metadata = get_args(annotation)
            found = next((one for one in metadata if isinstance(one, Reading)), None)
            if found is not None:
                return found
            annotation = inner
        elif origin in (Union, types.UnionType):
            parts = [part for part in get_args(annotation) if part is not type(None)]
            if len(parts) != 1:
                return None
            annotation = parts[0]
        elif isinstance(annotation, type) and issubclass(annotation, Frozen):
            short = next((form for form in annotation.short_forms if isinstance(form, str)), None)
            if short is None:
                return None
            annotation = below(annotation, short)
        else:
            return None


def _closest(word: object, known: list[str]) -> list[str]:
    """At most one known word: the only one that `word` begins, else the most similar one."""
    begun = [key for key in known if len(str(word)) > 2 and key.startswith(str(word))]
    return begun if len(begun) == 1 else difflib.get_close_matches(str(word), known, 1, 0.6)


def suggestion(word: object, known: Iterable[str]) -> str:
    """`did you mean 'x'?` or the list of what is known."""
    known = list(known)
    close = _closest(word, known)
    if close:
        return f"did you mean '{close[0]}'?"
    listed = ", ".join(known[:_KEYS_SHOWN]) + (", …" if len(known) > _KEYS_SHOWN else "")
    return f"accepted here: {listed or 'nothing'}"


def validation_problems(error: ValidationError, model: type[BaseModel], data: Any) -> list[Problem]:
    """Each error of one validation of `data`, at the path where the file has it."""
    found = []
    for item in error.errors(include_url=False)[: PROBLEMS_MAX + 1]:
        location: KeyPath = tuple(part for part in item["loc"] if part != "[key]")
        kind, value, context = item["type"], item.get("input"), item.get("ctx", {})
        path = _written(location, data)
        if kind == "extra_forbidden":
            parent = type_at(model, location[:-1])
            known = keys_of(parent) if isinstance(parent, type) and issubclass(parent, BaseModel) else []
            present = _present(data, location[:-1])
            found.append(Problem(path, f"unknown key, {_other_key(location[-1], known, present)}", at_key=True))
            continue
        found.append(Problem(path, _message(kind, value, context, item["msg"], model, location), at_key=bool(context.get("at_key"))))
    return found


def _other_key(word: object, known: list[str], present: set[str]) -> str:
    close = _closest(word, known)
    if close and close[0] in present:
        return f"did you mean '{close[0]}'? It stands here already, keep one of the two"
    return suggestion(word, known if close else [key for key in known if key not in present])


def _message(kind: str, value: object, context: Mapping[str, Any], text: str, model: type[BaseModel], location: KeyPath) -> str:
    if kind == "value_error":
        return str(context.get("error", text))
    if kind == "manifest":
        return str(context["message"])
    if kind == "missing":
        if location and isinstance(location[-1], int):
            return "has too few values, give [low, high]"
        parent, name = type_at(model, location[:-1]), str(location[-1])
        described = ""
        if isinstance(parent, type) and issubclass(parent, BaseModel):
            for field_name, field in parent.model_fields.items():
                if name in (field_name, field.alias):
                    described = field.description or ""
        return "is missing, add it" + (f": {described}" if described else f" ({_expected(type_at(model, location))})")
    if kind == "literal_error":
        accepted = str(context.get("expected", "")).replace(" or ", ", ").replace("'", "").split(", ")
        return f"{shown(value)} is not accepted, {suggestion(value, accepted)} (one of {', '.join(accepted)})"
    if kind in ("model_type", "model_attributes_type", "dict_type", "mapping_type"):
        return f"{shown(value)} is not a mapping, write {_expected(type_at(model, location))}"
    if kind in ("tuple_type", "list_type"):
        return f"{shown(value)} is not a list, write [a, b]"
    if kind == "bool_type":
        return f"{shown(value)} is neither true nor false, write true or false"
    if kind in ("too_short", "too_long"):
        actual, least = context.get("actual_length"), context.get("min_length", context.get("max_length"))
        return f"has {actual} entries, give {'at least' if kind == 'too_short' else 'at most'} {least}"
    return f"{text[:1].lower()}{text[1:]}, found {shown(value)}"


def _expected(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        keys = keys_of(annotation)
        if issubclass(annotation, Distribution):
            return "a value such as 5, 10Gi or 90s, or a distribution such as {uniform: [low, high]}"
        return "{" + ", ".join(f"{key}: …" for key in keys[:4]) + (", …" if len(keys) > 4 else "") + "}"
    if get_origin(annotation) is dict:
        return "key: value pairs"
    return "a value"


def _present(data: Any, path: KeyPath) -> set[str]:
    for key in path:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return set()
    return set(data) if isinstance(data, dict) else set()


def _written(location: KeyPath, data: Any) -> KeyPath:
    """The path cut where the file's own data ends: a short form has no keys below it."""
    path: list[str | int] = []
    for key in location:
        if isinstance(data, dict):
            path.append(key)
            if key not in data:
                break
            data = data[str(key)]
        elif isinstance(data, list) and isinstance(key, int):
            path.append(key)
            if key >= len(data):
                break
            data = data[key]
        else:
            break
    return tuple(path)


def key_word(key: object) -> str:
    """A key as an error line shows it: on one line, printable, not endless."""
    return printable(str(key)[:_KEY_LETTERS]) + ("…" if len(str(key)) > _KEY_LETTERS else "")


def dotted(path: KeyPath, data: Any) -> str:
    """The path in words: `tenants.web.count`; list items by their `name`, else by index."""
    words = []
    for key in path:
        inner: Any = None
        if isinstance(data, list) and isinstance(key, int):
            inner = data[key] if key < len(data) else None
            name = inner.get("name") if isinstance(inner, dict) else None
            alike = [item for item in data if isinstance(item, dict) and item.get("name") == name]
            words.append(name if isinstance(name, str) and name and len(alike) == 1 else str(key))
        else:
            words.append(key_word(key))
            inner = data.get(key) if isinstance(data, dict) else None
        data = inner
    return ".".join(words)


def located(source: Source, problems: Iterable[Problem], roots: Mapping[KeyPath, Any]) -> list[str]:
    """The lines of the problems, in the order of the files. `roots` are the paths at which other files were
    inlined.
    """
    lines: dict[str, tuple[Any, ...]] = {}
    for problem in problems:
        place = problem.place or source.place(problem.path, at_key=problem.at_key)
        root: KeyPath = ()
        if place.line:
            held = [p for p in roots if problem.path[: len(p)] == p and source.values.get(p, source.place(())).file == place.file]
            root = max(held, key=len, default=())
        inner = source.data
        for key in root:
            inner = inner[key]
        key_words = dotted(problem.path[len(root) :], inner)
        line = f"{place}: {key_words}: {problem.message}" if key_words else f"{place}: {problem.message}"
        lines.setdefault(line, (place.file != source.file, place.file, place.line, place.column))
    told = sorted(lines, key=lambda line: lines[line])
    return [*told[:PROBLEMS_MAX], f"{source.file}: more errors follow, mend these first"][: len(told)]
