"""The `marketsim` command: its subcommands, its exit codes and how errors reach the user.

Exit codes: 0 done; 1 an outcome or check failed; 2 bad usage or input; 3 a broken invariant; 130 interrupted.
Nothing heavy is imported here: each module of `COMMANDS` registers its commands and imports what they need
when they run.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import typer

from marketsim import interrupts
from marketsim.errors import InputError, InvariantError, show_warnings_plainly

COMMANDS = (
    "run",
    "projects",
    "files",
    "price",
    "report",
    "explain",
    "export",
    "sweep",
    "compare",
    "check",
    "diff",
    "bisect",
    "capsule",
    "risk",
    "optimize",
    "bench",
    "parity",
    "coverage",
    "devnet",
    "dash",
    "exercise",
    "virtengine",
)
"""Modules of this package that have a `register(app)`, in the order in which help lists them."""

CLICK_EXCEPTION: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""The parser's own errors; older typers have the class from click, newer ones carry a copy of it."""

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_BROKEN, EXIT_INTERRUPTED = 1, 2, 3, interrupts.EXIT


def version_lines() -> list[str]:
    """What `--version` prints: the package, the rule sets' revisions, the versions that a fingerprint depends
    on.
    """
    from importlib.metadata import PackageNotFoundError, version

    from marketsim import __version__
    from marketsim.scenario.rulesets import REVISIONS

    lines = [f"marketsim {__version__}"]
    lines += [f"rules {name}: {revision}" for name, revision in REVISIONS.items()]
    for package in ("numpy", "numba"):
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} is not installed")
    return [*lines, f"python {sys.version.split()[0]}"]


def build_app() -> typer.Typer:
    """The application with every command module that is installed."""
    app = typer.Typer(
        name="marketsim",
        help="Simulate a compute marketplace: orders, bids, leases and exact escrow, block by block.",
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=False)
    def _root(
        version: bool = typer.Option(
            False,
            "--version",
            help="Print versions and rule-set revisions.",
            is_eager=True,
            callback=_print_version,
        ),
    ) -> None:
        del version

    for name in COMMANDS:
        module_name = f"{__name__}.{name}"
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name == module_name:
                continue
            raise
        module.register(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write("\n".join(version_lines()) + "\n")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code; errors are plain lines on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    show_warnings_plainly()
    interrupts.begin()
    try:
        try:
            code = _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # whoever read our output has enough; without this the interpreter complains once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED:  # the parser makes that of an interrupt too
        interrupts.tell()
    return code


def _run(arguments: list[str]) -> int:
    try:
        result = build_app()(args=arguments, prog_name="marketsim", standalone_mode=False)
        return result if isinstance(result, int) and not isinstance(result, bool) else 0
    except typer.Exit as error:
        return error.exit_code
    except typer.Abort:  # what older parsers make of an interrupt
        raise KeyboardInterrupt from None
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if interrupts.is_asked():
            raise KeyboardInterrupt from None
        if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):  # the parser's way
            return 0
        return _explained(error)


def _explained(error: BaseException) -> int:
    """Say what has ended a command, and return its exit code."""
    if isinstance(error, CLICK_EXCEPTION):
        return _say_usage(error)
    if isinstance(error, InputError):
        return _say([_printable(line) for line in error.lines], EXIT_BAD_INPUT)
    if isinstance(error, InvariantError):
        return _say(
            [
                f"broken invariant: {error}",
                "this is a defect of marketsim, not of your input: please report it with the command line,"
                " the scenario, its seed and the output of marketsim --version",
            ],
            EXIT_BROKEN,
        )
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_with(error.name or "")) is not None:
        return _say([f"this needs {(error.name or '').partition('.')[0]}: pip install 'marketsim[{extra}]'"], EXIT_BAD_INPUT)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return _say([f"{where}{error.strerror or error}"], EXIT_BAD_INPUT)
    if os.environ.get("MARKETSIM_DEBUG"):
        raise error
    return _say(
        [
            f"unexpected {type(error).__name__}: {' '.join(str(error).split())}",
            "this is a defect of marketsim: please report it with the command line, the files and"
            " the output of marketsim --version; MARKETSIM_DEBUG=1 shows where it happened",
        ],
        EXIT_BROKEN,
    )


def _extra_with(module: str) -> str | None:
    """Return the extra of marketsim that installs a module, None where none does; its distributions have the names of their modules."""
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement

    try:
        asked = [Requirement(line) for line in requires("marketsim") or ()]
    except PackageNotFoundError:
        return None
    top = {"llvmlite": "numba"}.get(module.partition(".")[0], module.partition(".")[0]).lower()
    for one in asked:
        if one.name.lower() == top and one.marker is not None:
            for extra in ("compile", "stats", "distributed", "devnet", "dash"):
                if one.marker.evaluate({"extra": extra}):
                    return extra
    return None


def _printable(line: str) -> str:
    """One line of a terminal: file names may hold anything, also what moves the cursor."""
    return "".join(c if c.isprintable() or "\ud800" <= c <= "\udfff" else ascii(c)[1:-1] for c in line)


def _say(lines: Sequence[str], code: int) -> int:
    """Writes one line each to standard error, unwrapped, and returns `code`."""
    try:
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()
    except OSError:
        pass
    return code


def _say_usage(error: Exception) -> int:
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    if type(error).__name__ == "NoArgsIsHelpError":
        return _say([message], EXIT_BAD_INPUT)
    context = getattr(error, "ctx", None)
    command = "marketsim" if context is None else context.command_path
    return _say([f"{command}: {' '.join(message.split())}", f"try '{command} --help'"], EXIT_BAD_INPUT)
