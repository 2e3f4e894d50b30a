"""A shell in which a devnet is at hand: `virtengine`, `journalctl` and `systemctl` are its own, `curl` finds its port."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

TOOLS = ("virtengine", "journalctl", "systemctl")
FOLDER = "MARKETSIM_DEVNET"
"""The variable that names a devnet's folder."""
DOCUMENT_PORT = 8443
"""Where the training document looks for the provider's status."""
_CURL = """#!/bin/sh
# curl, with the devnet's address in place of the one that the training document has, and its token
n=$#
asked=
while [ "$n" -gt 0 ]; do
    n=$((n - 1))
    word=$1
    shift
    case $word in
        localhost:{port} | localhost:{port}/* | http://localhost:{port} | http://localhost:{port}/* | \\
        127.0.0.1:{port} | 127.0.0.1:{port}/* | http://127.0.0.1:{port} | http://127.0.0.1:{port}/*)
            word={address}"${{word#*:{port}}}" asked=1 ;;
    esac
    set -- "$@" "$word"
done
token={token}
if [ -n "$asked" ] && [ -n "$token" ]; then set -- -H "Authorization: Bearer $token" "$@"; fi
exec {curl} "$@"
"""


def open_shell(
    folder: Path,
    name: str,
    address: str,
    command: str | None = None,
    environment: Mapping[str, str] = os.environ,
    token: str | None = None,
) -> int:
    """Open a shell of a devnet, or run one command in it, and return its exit code.

    `folder` is the devnet's, `name` what its prompt says, `address` where it listens, such as 127.0.0.1:8443, `token` what it asks of
    everybody. The shell is that of `SHELL`, bash where there is none.
    """
    shell = environment.get("SHELL") or shutil.which("bash") or "/bin/sh"
    with tools(folder, address, token) as bin:
        own = dict(environment) | {
            FOLDER: str(folder.resolve()),
            "PATH": os.pathsep.join((str(bin), environment.get("PATH", os.defpath))),
        }
        if command is not None:
            return _code(subprocess.call([shell, "-c", command], env=own))
        words, more = _interactive(shell, bin, f"devnet {name} {address}")
        sys.stdout.write(f"devnet {name} at {address}: virtengine, journalctl and systemctl are the devnet's here; exit leaves\n")
        sys.stdout.flush()
        return _code(subprocess.call(words, env=own | more))


@contextmanager
def tools(folder: Path, address: str, token: str | None = None) -> Iterator[Path]:
    """A folder of commands that are the devnet's, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="devnet-") as made:
        bin = Path(made) / "bin"
        bin.mkdir()
        for tool in TOOLS:
            words = (sys.executable, "-P", "-m", "marketsim.devnet.words", tool, "--dir", str(folder.resolve()))
            _script(bin / tool, f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        curl = shutil.which("curl")
        if curl is not None and (token or not address.endswith(f":{DOCUMENT_PORT}")):
            told = {"address": address, "curl": shlex.quote(curl), "token": shlex.quote(token or "")}
            _script(bin / "curl", _CURL.format(port=DOCUMENT_PORT, **told))
        yield bin


def _script(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def _interactive(shell: str, bin: Path, prompt: str) -> tuple[list[str], dict[str, str]]:
    """How a shell is started so that its prompt says where one is, after the user's own settings: those may set PATH, too."""
    path = f"PATH={shlex.quote(str(bin))}:$PATH"
    kind = Path(shell).name
    if kind == "bash":
        settings = bin.parent / "bashrc"
        settings.write_text(f"[ -r ~/.bashrc ] && . ~/.bashrc\n{path}\nPS1='({prompt}) \\w \\$ '\n", encoding="utf-8")
        return [shell, "--rcfile", str(settings), "-i"], {}
    if kind == "zsh":
        (bin.parent / ".zshrc").write_text(f"[ -r ~/.zshrc ] && . ~/.zshrc\n{path}\nPROMPT='({prompt}) %~ %# '\n", encoding="utf-8")
        return [shell, "-i"], {"ZDOTDIR": str(bin.parent)}
    return [shell, "-i"], {"PS1": f"({prompt}) $ "}


def _code(code: int) -> int:
    """An exit code as shells tell it, of a shell that a signal has ended too."""
    return 128 - code if code < 0 else code


__all__ = ["FOLDER", "TOOLS", "open_shell", "tools"]
