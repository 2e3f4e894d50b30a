"""Lists every key of a kind of file, section by section, as the models hold them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


class Key(NamedTuple):
    """One key of a section: the model that holds it, its name as files spell it, and its field."""

    model: type[BaseModel]
    name: str
    field: FieldInfo

    @property
    def id(self) -> str:
        """`Section.name`, one for each key of a kind of file; a family of models with one parameter is one section."""
        return f"{section_name(self.model)}.{self.name}"


def section_name(model: type[BaseModel]) -> str:
    """The name of the section that a model is: the same for `Lognormal[Span]` and `Lognormal[Money]`."""
    return model.__name__.partition("[")[0]


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


def sections_of(root: type[BaseModel], leave_out: tuple[type[BaseModel], ...] = ()) -> list[type[BaseModel]]:
    """`root` and every model below it, each once, those of a key after the model that has it."""
    found: dict[str, type[BaseModel]] = {}

    def enter(model: type[BaseModel]) -> None:
        if model in leave_out or section_name(model) in found:
            return
        found[section_name(model)] = model
        for key in keys_in(model):
            for below in models_in(key.field.annotation):
                enter(below)

    enter(root)
    return list(found.values())
