"""Lists every key of a kind of file as the models hold them: what it takes, its default as a person writes it, what it acts on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from marketsim.scenario.distributions import Distribution, Window
from marketsim.scenario.literals import Reading
from marketsim.scenario.rulesets import DEFAULTS

DISTRIBUTION = "Distribution"
"""Section of everything that is drawn, whatever its unit."""
_UVE = re.compile(r"(\d+)uve\Z")
_VE_FROM = 10**5
"""Whole uve from which on an amount is written in VE."""


class Key(NamedTuple):
    """One key of a section."""

    model: type[BaseModel]
    name: str
    """As files spell it."""
    field: FieldInfo

    @property
    def description(self) -> str:
        """What it acts on."""
        return self.field.description or ""

    @property
    def takes(self) -> str:
        """What may stand there, with its unit."""
        for part in self.field.metadata:
            if isinstance(part, Reading):
                return part.takes
        return words(self.field.annotation, self.field.metadata)

    @property
    def default(self) -> str:
        """What holds when it is left out, in YAML; empty for a key that is needed, `none` for nothing at all."""
        if self.field.is_required():
            return ""
        name = self.field.alias or self.name
        if section_name(self.model) == "Scenario" and name in DEFAULTS["seed"]:
            by_rules = {rules: in_yaml(defaults[name]) for rules, defaults in DEFAULTS.items()}
            if len(set(by_rules.values())) > 1:
                return ", ".join(f"{text} ({rules})" for rules, text in by_rules.items())
        return in_yaml(self.written_default())

    def written_default(self) -> Any:
        """The default as plain data that the key takes."""
        value = self.field.get_default(call_default_factory=True)
        if isinstance(value, BaseModel):
            return _without_none(value.model_dump(mode="json", by_alias=True))
        kept: Any = Annotated[self.field.annotation, *self.field.metadata] if self.field.metadata else self.field.annotation
        return _in_large_units(TypeAdapter(kept).dump_python(value, mode="json"))


def _without_none(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_none(part) for key, part in data.items() if part is not None}
    return _in_large_units(data)


def _in_large_units(data: Any) -> Any:
    """Amounts in VE where a person would: 5000VE for 5000000000uve."""
    match = _UVE.match(data) if isinstance(data, str) else None
    if match is None or int(match[1]) < _VE_FROM:
        return data
    whole, rest = divmod(int(match[1]), 10**6)
    return f"{whole}" + (f".{rest:06d}".rstrip("0") if rest else "") + "VE"


def in_yaml(data: Any) -> str:
    """Plain data as one line of YAML."""
    if data is None:
        return "none"
    if isinstance(data, bool):
        return "true" if data else "false"
    if isinstance(data, dict):
        return "{" + ", ".join(f"{key}: {in_yaml(part)}" for key, part in data.items()) + "}"
    if isinstance(data, (list, tuple)):
        return "[" + ", ".join(map(in_yaml, data)) + "]"
    if isinstance(data, float):
        return f"{data:g}"
    return str(data) or '""'


def section_name(model: type[BaseModel]) -> str:
    """The name of the section that a model is: one for `Lognormal[Span]` and `Lognormal[Money]`, one for all distributions."""
    return DISTRIBUTION if issubclass(model, Distribution) else model.__name__.partition("[")[0]


def _whatever_the_unit(model: type[BaseModel]) -> type[BaseModel]:
    if issubclass(model, Distribution):
        return Distribution
    origin = model.__pydantic_generic_metadata__["origin"]
    return model if origin is None else origin


def keys_in(model: type[BaseModel]) -> list[Key]:
    """The keys of one model, in the order of the file."""
    return [Key(model, field.alias or name, field) for name, field in model.model_fields.items()]


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that may stand in a value of a type, in its order; not those inside them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from models_in(get_args(annotation)[0])
    else:
        for part in get_args(annotation):
            yield from models_in(part)


class KeySection(NamedTuple):
    """One model with the paths at which it stands, none for the file itself. Distributions stand for every unit."""

    model: type[BaseModel]
    paths: list[str]

    @property
    def path(self) -> str:
        """The first of the paths, or nothing."""
        return self.paths[0] if self.paths else ""

    @property
    def drawn(self) -> bool:
        """Whether it says how something is drawn."""
        return self.model.__module__ == Distribution.__module__ and self.model is not Window

    @property
    def name(self) -> str:
        """See `section_name`."""
        return section_name(self.model)


def sections_of(root: type[BaseModel]) -> list[KeySection]:
    """`root` and every model below it, each once, those of a key after the model that has it; distributions come last."""
    found: dict[str, KeySection] = {}

    def enter(model: type[BaseModel], path: str) -> None:
        name = section_name(model)
        model = _whatever_the_unit(model)
        known = name in found
        section = found.setdefault(name, KeySection(model, []))
        if path:
            section.paths.append(path)
        for key in () if known else keys_in(model):
            for below in models_in(key.field.annotation):
                enter(below, f"{path}.{key.name}".removeprefix("."))

    enter(root, "")
    return sorted(found.values(), key=lambda section: section.drawn)


def every_model(root: type[BaseModel]) -> list[type[BaseModel]]:
    """`root` and every model below it, distributions of each unit too."""
    found: dict[type[BaseModel], None] = {}

    def enter(model: type[BaseModel]) -> None:
        if model not in found:
            found[model] = None
            for key in keys_in(model):
                for below in models_in(key.field.annotation):
                    enter(below)

    enter(root)
    return list(found)


def words(annotation: Any, bounds: Sequence[Any] = ()) -> str:
    """What a value of a type is called in a table: `list of whole number ≥ 1`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        reading = next((part for part in arguments[1:] if isinstance(part, Reading)), None)
        return reading.takes if reading is not None else words(arguments[0], _flat(arguments[1:]))
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin is tuple:
        return f"list of {words(arguments[0])}" if arguments[1] is Ellipsis else "list of two: " + words(arguments[0])
    if origin is dict:
        return "pairs" if arguments[1] is Any else f"pairs of text and {words(arguments[1])}"
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(words(part, bounds) for part in arguments if part is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _of_model(annotation)
    if isinstance(annotation, TypeVar):
        return "value in the unit of the key"
    return {bool: "`true` or `false`", int: "whole number", float: "number", str: "text"}.get(annotation, "value") + _within(bounds)


def _of_model(model: type[BaseModel]) -> str:
    """A distribution by its unit; another model by the name of its section, which pages make a link of."""
    if issubclass(model, Distribution):
        return f"{words(model.model_fields['constant'].annotation)} or <{DISTRIBUTION}>"
    return f"<{section_name(model)}>"


def _flat(bounds: Sequence[Any]) -> list[Any]:
    return [part for bound in bounds for part in (bound.metadata if isinstance(bound, FieldInfo) else [bound])]


def _within(bounds: Sequence[Any]) -> str:
    signs = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
    said = [f"{sign} {getattr(bound, name):,}" for bound in bounds for kind, (sign, name) in signs.items() if isinstance(bound, kind)]
    return (" " if said else "") + " and ".join(said)
