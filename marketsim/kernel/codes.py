"""Named numbers: states, kinds and reasons of which a table holds the number, and compiled code too."""

from __future__ import annotations

from enum import EnumType, IntEnum


class CodeType(EnumType):
    """The class of classes of codes: the compiler tells by it what they are."""


class Code(IntEnum, metaclass=CodeType):
    """An IntEnum whose members are plain numbers to compiled code.

    A compiled function that is annotated to return one returns it to Python.
    """
