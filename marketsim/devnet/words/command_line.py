"""How the real command line reads its words: commands, options and what it says of wrong ones, in its order.

The real one is made of cobra and pflag (github spf13/cobra, spf13/pflag); neither click nor argparse words its errors so, or looks for a
command among options that it does not know. Options are read before arguments are counted, arguments before the key is looked up, the key
before options are missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

INT_BITS = {"uint64": 64, "uint32": 32, "int32": 32, "int64": 64, "int": 64}


NOT_SIMULATED = "not_simulated"
"""What carries out commands of which there is nothing here but the name."""


class RefusedError(Exception):
    """What the command line refuses; its text is what stands behind `Error: `."""


@dataclass(frozen=True, slots=True)
class Flag:
    """An option: `kind` is string, strings, bool, float, duration or a number's Go type; a bool stands without a value."""

    name: str
    kind: str = "string"
    default: Any = ""
    short: str = ""
    about: str = ""


@dataclass(frozen=True)
class Command:
    """A command of the tree: `args` are the least and the most arguments (None: any), `required` options that must be given, `does` what
    carries it out ("" where it only has others below it; a `silent_group` prints its help for a word that is none of these, others refuse
    it, and those that `reads_no_flags` refuse it before they look at options)."""

    name: str
    about: str = ""
    does: str = ""
    flags: tuple[Flag, ...] = ()
    args: tuple[int, int | None] | None = None
    required: tuple[str, ...] = ()
    takes: str = ""
    below: tuple[Command, ...] = ()
    aliases: tuple[str, ...] = ()
    persistent: tuple[Flag, ...] = ()
    reads_no_flags: bool = False
    silent_group: bool = False

    def child(self, word: str) -> Command | None:
        """Return the command of this name below it."""
        return next((each for each in self.below if word == each.name or word in each.aliases), None)


@dataclass(frozen=True)
class Invocation:
    """What was asked: the words of the command, its options (defaults filled in), which of them were given, and its arguments."""

    path: tuple[str, ...]
    command: Command
    flags: Mapping[str, Any]
    given: frozenset[str]
    args: tuple[str, ...]
    wants_help: bool = False

    @property
    def does(self) -> str:
        """What carries it out."""
        return self.command.does


@dataclass
class _Reading:
    flags: dict[str, Any] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    args: list[str] = field(default_factory=list)
    wants_help: bool = False


def read(root: Command, words: Sequence[str]) -> Invocation:
    """Return what the words ask for; raises RefusedError with the real command line's own text."""
    command, path, rest, above = _found(root, list(words))
    if command is root and (stray := _without_flags(rest, above)):
        raise RefusedError(unknown_command(stray[0], root, path))
    if command.reads_no_flags:
        return _of_group(command, path, rest)
    known = (*above, *command.persistent, *command.flags)
    reading = _flags(known, rest)
    flags = {flag.name: flag.default for flag in known} | reading.flags
    given, args = frozenset(reading.given), tuple(reading.args)
    invocation = Invocation(path, command, flags, given, args, reading.wants_help)
    if reading.wants_help or (command.below and not command.does and command.silent_group):
        return Invocation(path, command, flags, given, args, True)
    if command.below and not command.does:
        return _of_group(command, path, rest)
    _check_count(command, path, reading.args)
    return invocation


def _of_group(command: Command, path: tuple[str, ...], rest: Sequence[str]) -> Invocation:
    """A command that only has others below it: the first word that is no option, or an option's value, is no command of it."""
    skips = False
    for word in rest:
        if word in ("-h", "--help"):
            break
        if word.startswith("-"):
            skips = "=" not in word
        elif skips:
            skips = False
        else:
            raise RefusedError(unknown_command(word, command, path[-1:]))
    return Invocation(path, command, {}, frozenset(), (), True)


def with_environment(invocation: Invocation, environment: Mapping[str, str], prefix: str) -> Invocation:
    """Return the invocation with options that were not given taken from variables, such as PREFIX_KEYRING_BACKEND for --keyring-backend, as
    the real one does (viper's bindings). Raises RefusedError for a value of the wrong kind."""
    reading = _Reading(dict(invocation.flags), set(invocation.given))
    for flag in invocation.command.flags:
        text = environment.get(f"{prefix}_{flag.name.upper().replace('-', '_')}", "")
        if text and flag.name not in invocation.given:
            _set(reading, flag, text, f"--{flag.name}")
    return replace(invocation, flags=reading.flags, given=frozenset(reading.given))


def check_required(invocation: Invocation) -> None:
    """Raise RefusedError where options that must be given are not."""
    missing = [name for name in sorted(invocation.command.required) if name not in invocation.given]
    if missing:
        raise RefusedError("required flag(s) " + ", ".join(f'"{name}"' for name in missing) + " not set")


def unknown_command(word: str, command: Command, path: Sequence[str]) -> str:
    """Return the text for a word that is no command, with those that may have been meant."""
    text = f'unknown command "{word}" for "{" ".join(path)}"'
    near = [
        each.name for each in command.below if _distance(word.lower(), each.name.lower()) <= 2 or each.name.lower().startswith(word.lower())
    ]
    return text + ("\n\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in near) if near else "")


def _found(root: Command, words: list[str]) -> tuple[Command, tuple[str, ...], list[str], tuple[Flag, ...]]:
    """The command that words lead to, its path, the words that are not part of the path, and the options that commands above hand down."""
    command, rest = root, words
    path: tuple[str, ...] = (root.name,)
    above: tuple[Flag, ...] = ()
    while True:
        known = (*above, *command.persistent, *command.flags)
        stray = _without_flags(rest, known)
        below = command.child(stray[0]) if stray else None
        if below is None:
            return command, path, rest, above
        rest = _less(rest, stray[0], known)
        above = (*above, *command.persistent)
        command, path = below, (*path, below.name)


def _without_flags(words: Sequence[str], known: Sequence[Flag]) -> list[str]:
    return [word for word, is_flag in _told_apart(words, known) if not is_flag]


def _less(words: Sequence[str], first: str, known: Sequence[Flag]) -> list[str]:
    """The words without the first one that names a command."""
    rest, dropped = [], False
    for word, is_flag in _told_apart(words, known):
        if not (dropped or is_flag or word != first):
            dropped = True
            continue
        rest.append(word)
    return rest


def _told_apart(words: Sequence[str], known: Sequence[Flag]) -> Iterator[tuple[str, bool]]:
    """Each word, and whether it is an option or an option's value; what follows an option that is not known is taken for its value."""
    bare = {f"--{flag.name}" for flag in known if flag.kind == "bool"} | {f"-{flag.short}" for flag in known if flag.kind == "bool"}
    bare |= {"--help", "-h"}
    is_value = ended = False
    for word in words:
        if ended:
            yield word, True
        elif is_value:
            is_value = False
            yield word, True
        elif word == "--":
            ended = True
            yield word, True
        elif word.startswith("-") and word != "-":
            is_value = "=" not in word and word not in bare and (word.startswith("--") or len(word) == 2)
            yield word, True
        else:
            yield word, False


def _flags(known: Sequence[Flag], words: Sequence[str]) -> _Reading:
    """Options and arguments, in pflag's order of refusals."""
    long = {flag.name: flag for flag in known}
    short = {flag.short: flag for flag in known if flag.short}
    found, rest = _Reading(), list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            found.args += rest
            break
        if word.startswith("--"):
            name, has_value, value = word[2:].partition("=")
            if not name or name.startswith(("-", "=")):
                raise RefusedError(f"bad flag syntax: {word}")
            flag = long.get(name)
            if flag is None:
                if name == "help":
                    found.wants_help = True
                    return found
                raise RefusedError(f"unknown flag: --{name}")
            if not has_value:
                if flag.kind == "bool":
                    value = "true"
                elif rest:
                    value = rest.pop(0)
                else:
                    raise RefusedError(f"flag needs an argument: --{name}")
            _set(found, flag, value, f"--{name}")
        elif word.startswith("-") and word != "-":
            if _shorts(found, short, word, rest):
                return found
        else:
            found.args.append(word)
    return found


def _shorts(found: _Reading, short: Mapping[str, Flag], word: str, rest: list[str]) -> bool:
    """Read options of one letter; True where help was asked for."""
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = short.get(letter)
        if flag is None:
            if letter == "h":
                found.wants_help = True
                return True
            raise RefusedError(f"unknown shorthand flag: '{letter}' in {word}")
        named = f"-{letter}, --{flag.name}"
        if letters.startswith("="):
            _set(found, flag, letters[1:], named)
            return False
        if flag.kind == "bool":
            _set(found, flag, "true", named)
        elif letters or rest:
            _set(found, flag, letters or rest.pop(0), named)
            return False
        else:
            raise RefusedError(f"flag needs an argument: '{letter}' in {word}")
    return False


def _set(found: _Reading, flag: Flag, text: str, named: str) -> None:
    try:
        value = _VALUES[flag.kind](text, flag.kind)
    except ValueError as error:
        raise RefusedError(f'invalid argument "{text}" for "{named}" flag: {error}') from None
    if flag.kind == "strings" and flag.name in found.given:
        value = (*found.flags[flag.name], *value)
    found.flags[flag.name] = value
    found.given.add(flag.name)


def _number(text: str, kind: str) -> int:
    parser = "ParseUint" if kind.startswith("u") else "ParseInt"
    digits = text[1:] if text[:1] in "+-" and parser == "ParseInt" else text
    base = 16 if digits[:2].lower() == "0x" else 10
    try:
        if not digits or not digits.isascii() or digits[0] in "+-_ ":
            raise ValueError
        value = int(text, base)
    except ValueError:
        raise ValueError(f'strconv.{parser}: parsing "{text}": invalid syntax') from None
    bits = INT_BITS[kind] - (parser == "ParseInt")
    if value >= 1 << bits or value < (-(1 << bits) if parser == "ParseInt" else 0):
        raise ValueError(f'strconv.{parser}: parsing "{text}": value out of range')
    return value


def _bool(text: str, _kind: str) -> bool:
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def _float(text: str, _kind: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'strconv.ParseFloat: parsing "{text}": invalid syntax') from None


def _text(text: str, _kind: str) -> str:
    return text


def _texts(text: str, _kind: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


_VALUES: Mapping[str, Callable[[str, str], Any]] = {
    "string": _text,
    "strings": _texts,
    "duration": _text,
    "bool": _bool,
    "float": _float,
    **dict.fromkeys(INT_BITS, _number),
}


def _check_count(command: Command, path: Sequence[str], args: Sequence[str]) -> None:
    """Raise RefusedError for too few or too many arguments."""
    if command.args is None:
        return
    least, most = command.args
    if most is None:
        if len(args) < least:
            raise RefusedError(f"requires at least {least} arg(s), only received {len(args)}")
    elif not least <= len(args) <= most:
        wanted = f"accepts {least} arg(s)" if least == most else f"accepts between {least} and {most} arg(s)"
        raise RefusedError(f"{wanted}, received {len(args)}")


def _distance(left: str, right: str) -> int:
    """Letters to change, add or leave out between two words."""
    row = list(range(len(right) + 1))
    for at, letter in enumerate(left, 1):
        before, row[0] = row[0], at
        for there, other in enumerate(right, 1):
            before, row[there] = row[there], min(row[there] + 1, row[there - 1] + 1, before + (letter != other))
    return row[-1]


def help_of(invocation: Invocation) -> str:
    """Return what a command is for, what is below it and its options, in this project's words."""
    command, name = invocation.command, " ".join(invocation.path)
    lines = [
        command.about,
        "",
        "Usage:",
        f"  {name}{' ' + command.takes if command.takes else ''}{' [command]' if command.below else ''} [flags]",
    ]
    if command.below:
        there = [each for each in command.below if each.does != NOT_SIMULATED or each.flags]
        lines += ["", "Available Commands:"]
        width = max(len(each.name) for each in there)
        lines += [f"  {each.name.ljust(width)}  {each.about}" for each in there]
        if others := [each.name for each in command.below if each not in there]:
            lines += ["", "Not simulated here:", f"  {', '.join(others)}"]
    if command.flags or command.persistent:
        lines += ["", "Flags:"]
        rows = [
            (
                f"{'-' + flag.short + ', ' if flag.short else '    '}--{flag.name}{'' if flag.kind == 'bool' else ' ' + flag.kind}",
                flag.about,
            )
            for flag in sorted((*command.flags, *command.persistent), key=lambda flag: flag.name)
        ]
        width = max(len(row[0]) for row in rows)
        lines += [f"  {left.ljust(width)}   {about}".rstrip() for left, about in rows]
    return "\n".join(lines) + "\n"


__all__ = [
    "NOT_SIMULATED",
    "Command",
    "Flag",
    "Invocation",
    "RefusedError",
    "check_required",
    "help_of",
    "read",
    "unknown_command",
    "with_environment",
]
