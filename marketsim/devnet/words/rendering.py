"""Answers as the real command line prints them: JSON on one line, or YAML with sorted keys."""

from __future__ import annotations

import io
import json
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

_TEXT = "tag:yaml.org,2002:str"
_WIDTH = 1 << 20


class _Representer(SafeRepresenter):
    """Quotes as Go's YAML does: texts that would read as something else stand in double quotes."""


def _text(representer: Any, value: str) -> Any:
    is_plain = bool(value) and representer.dumper.resolver.resolve(ScalarNode, value, (True, False)) == _TEXT
    return representer.represent_scalar(_TEXT, value, style=None if is_plain else '"')


_Representer.add_representer(str, _text)


def as_json(answer: Any) -> str:
    """Return an answer as JSON on one line."""
    return json.dumps(answer, separators=(",", ":"), ensure_ascii=False) + "\n"


def as_yaml(answer: Any) -> str:
    """Return an answer as YAML."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.width = _WIDTH
    text = io.StringIO()
    yaml.dump(answer, text)
    return text.getvalue()


def as_transaction(answer: Any) -> str:
    """Return a transaction as JSON over several lines, as it was recorded."""
    return json.dumps(answer, indent=1, ensure_ascii=False) + "\n"


def rendered(answer: Any, output: str) -> str:
    """Return a query's answer as `--output` says: text is YAML, everything else JSON."""
    return as_yaml(answer) if output == "text" else as_json(answer)


__all__ = ["as_json", "as_transaction", "as_yaml", "rendered"]
