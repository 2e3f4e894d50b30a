"""The small YAML files of tasks and of learners: read with the place of what is wrong, written as people write them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ruamel.yaml import YAML

from marketsim.errors import InputError
from marketsim.scenario.yaml_source import parse_source


def read_mapping(text: str, name: str) -> dict[str, Any]:
    """Return a file's content: dict, list, str, int, Decimal, bool, None. Raises InputError with the place of the first fault."""
    source = parse_source(text, name)
    if source.problems:
        problem = source.problems[0]
        place = problem.place or source.place(problem.path, at_key=problem.at_key)
        raise InputError(f"{place}: {'.'.join(map(str, problem.path))}: {problem.message}")
    found: dict[str, Any] = source.data
    return found


def yaml_text(content: Mapping[str, Any]) -> str:
    """Return a mapping as YAML in its own order; decimals stand as they are printed."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(Decimal, _decimal)
    out = io.StringIO()
    yaml.dump(dict(content), out)
    return out.getvalue()


def _decimal(representer: Any, value: Decimal) -> Any:
    text = format(value, "f")
    return representer.represent_scalar(f"tag:yaml.org,2002:{'float' if '.' in text else 'int'}", text)


def as_number(value: Any) -> Any:
    """A value by which two ways of writing it are equal: 15 and 15.0, 0.10uve and 0.1uve."""
    if isinstance(value, list):
        return [as_number(part) for part in value]
    text = str(value).strip()
    digits = text.removesuffix("uve")
    try:
        return Decimal(digits), text[len(digits) :]
    except ArithmeticError:
        return text


def leaves(data: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """What stands at the ends of mappings in mappings, by path, each as `as_number` has it."""
    if isinstance(data, Mapping):
        return {place: value for key, part in data.items() for place, value in leaves(part, (*path, str(key))).items()}
    return {path: as_number(data)}
