"""Capsules: a run or a sweep as one file from which it can be made again, byte for byte.

A capsule holds the scenario, the contents of every file that it read, seeds, versions, and the outputs with a tree of their hashes. What is
drawn from the outputs (pages and figures) and what is of the day (times, folders) is no part of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from marketsim.errors import InputError
from marketsim.experiments.difference.archive import Archive, write_archive
from marketsim.experiments.difference.origin import code
from marketsim.experiments.difference.sides import changed_keys, run_apart
from marketsim.experiments.runs.files_read import Contents, user_code
from marketsim.export.folder import write_file
from marketsim.export.results import MANIFEST, SCHEMA, json_text, read_json
from marketsim.scenario.inlined import inline_files
from marketsim.scenario.yaml_source import read_source
from marketsim.simulation.play import versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marketsim.experiments.sweep.plan import SweepPlan

CAPSULE: Final = "marketsim-capsule/1"
HEAD: Final = "capsule.json"
INPUTS, OUTPUTS, MODULES = "inputs", "outputs", "modules"
SCENARIO: Final = "capsule-scenario.json"
NEEDED: Final = ("marketsim", "numpy", "numba", "simpy", "pyarrow", "machine")
"""Versions that bytes depend on."""
OF_THE_DAY: Final = ("timing", "origin", "versions", "code", "digest")
"""Keys of a manifest that are no part of a capsule's outputs; versions and code stand beside them."""
_DRAWN = re.compile(r"(figures/.*|report\.html|report\.md|.*/figures/.*)")
_HEAD_MAX = 1 << 26
_NAMING = ("scenario", "config", "sdl", "trace", "script")
"""Keys whose texts are paths of files."""


@dataclass
class Verification:
    """What a verification found: `missing` what is not installed here, `damage` where the capsule is not what was written, `differing` the
    files that came out otherwise, each with its first byte in words."""

    kind: str
    name: str
    files: int
    missing: list[str] = field(default_factory=list)
    damage: str = ""
    differing: list[dict[str, Any]] = field(default_factory=list)
    ran: bool = False

    @property
    def agrees(self) -> bool:
        """Whether the run, made again here, gave every byte."""
        return self.ran and not (self.missing or self.damage or self.differing)

    def as_json(self) -> dict[str, Any]:
        """Plain values for --json."""
        return {
            "agrees": self.agrees,
            "kind": self.kind,
            "name": self.name,
            "files": self.files,
            "missing": self.missing,
            "damage": self.damage,
            "differing": self.differing,
        }


# --- making one ------------------------------------------------------------------------------------------------


def make_capsule(path: Path) -> bytes:
    """Return the capsule of a run's folder, a sweep's folder, or of a scenario or sweep file, which is run first.

    Raises InputError for what is none of them, and where the files that the run read are not there any more or have changed since.
    """
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder, give a results folder, a sweep's folder, or a scenario or sweep file")
    with _scratch() as scratch:
        folder = scratch / "made"
        is_sweep = _is_sweep_file(path)
        command = ["sweep", str(path), "--out", str(folder), "--quiet"] if is_sweep else _run_command(str(path), folder)
        run_apart(command, Path.cwd())
        return _of_folder(folder)


def save_capsule(path: Path, content: bytes) -> None:
    """Write a capsule whole or not at all; raises InputError where it cannot be written."""
    try:
        write_file(path, content)
    except OSError as error:
        raise InputError(f"{path}: -o: cannot be written ({error.strerror}), choose another place") from None


def _is_sweep_file(path: Path) -> bool:
    data = read_source(path).data
    return isinstance(data, dict) and "factors" in data


def _of_folder(folder: Path) -> bytes:
    manifest = read_json(folder, MANIFEST)
    if manifest.get("schema") == SCHEMA:
        return _of_run(folder, manifest)
    if manifest.get("kind") == "marketsim sweep":
        return _of_sweep(folder, manifest)
    raise InputError(f"{folder / MANIFEST}: neither a run's nor a sweep's, expected a folder that `run` or `sweep` has written")


def _of_run(folder: Path, manifest: Mapping[str, Any]) -> bytes:
    origin = manifest.get("origin")
    if not isinstance(origin, Mapping) or "folder" not in origin:
        raise InputError(f"{folder / MANIFEST}: origin: is missing, run it again: folders say where they come from since trails are kept")
    base, scenario = Path(origin["folder"]), dict(manifest["scenario"])
    contents = Contents(base)
    if contents.digest(scenario) != origin.get("contents"):
        raise InputError(f"{folder}: files that the run read in {base} are gone or have changed since, put them back or run it again")
    inputs, place = _inputs(base, [scenario], contents, {})
    inputs[f"{INPUTS}/{place / SCENARIO}"] = json_text(scenario).encode()
    head = {
        "kind": "run",
        "name": str(manifest["name"]),
        "file": str(place / SCENARIO),
        "seeds": [int(manifest["seed"])],
        "audit": bool(manifest.get("audit_blocks")),
        "versions": {**manifest["versions"], "pyarrow": _installed("pyarrow")},
        "code": origin["code"],
        "user_code": list(user_code(scenario)),
    }
    return _packed(head, inputs, outputs_of(folder))


def _of_sweep(folder: Path, manifest: Mapping[str, Any]) -> bytes:
    from marketsim.experiments.sweep.session import read_plan

    if manifest.get("state") != "complete":
        raise InputError(f"{folder / MANIFEST}: state: {manifest.get('state')}, finish the sweep first: `marketsim sweep --resume`")
    file = manifest.get("timing", {}).get("file")
    if not isinstance(file, str) or not Path(file).is_file():
        raise InputError(
            f"{folder / MANIFEST}: timing.file: {file or 'missing'}: the sweep's file is not there, put it back or sweep again"
        )
    plan = read_plan(Path(file))
    if plan.digest() != manifest.get("digest"):
        raise InputError(f"{folder}: {file}, what it reads or marketsim itself has changed since, sweep again")
    scenario = (Path(file).parent / plan.sweep.scenario).resolve()
    sweep = Path(file).resolve()
    inputs, _ = _inputs(scenario.parent, list(plan.effective), Contents(scenario.parent), _files_of(sweep, scenario))
    inputs_root = _common([sweep, *_files_of(sweep, scenario).values(), *_paths_of(scenario.parent, plan)])
    head = {
        "kind": "sweep",
        "name": plan.sweep.name,
        "file": str(PurePosixPath(sweep.relative_to(inputs_root).as_posix())),
        "seeds": sorted({plan.sweep.seeds.seed(point.index, 0) for point in plan.design.points}),
        "audit": False,
        "versions": {**versions(), "pyarrow": _installed("pyarrow")},
        "code": code(),
        "user_code": sorted({name for one in plan.effective for name in user_code(one)}),
    }
    return _packed(head, inputs, outputs_of(folder))


def _files_of(sweep: Path, scenario: Path) -> dict[str, Path]:
    """A sweep's file, its scenario, and the provider files and manifests that this names."""
    source = read_source(scenario)
    inline_files(source, scenario.parent, set())
    named = {Path(place.file).resolve() for place in source.values.values() if place.file}
    return {str(path): path for path in sorted({sweep, scenario, *(path for path in named if path.is_file())})}


def _paths_of(base: Path, plan: SweepPlan) -> list[Path]:
    return [path for one in plan.effective for path in Contents(base).files(one)[0].values()]


def _common(paths: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([str(path.resolve().parent) for path in paths]))


def _inputs(
    base: Path, scenarios: Sequence[Mapping[str, Any]], contents: Contents, more: Mapping[str, Path]
) -> tuple[dict[str, bytes], PurePosixPath]:
    """The files that scenarios read, by their names in a capsule, and the place there of the scenarios' folder.

    Files keep their places towards each other, so that the paths which name them stay as they are; modules from elsewhere on the import
    path stand in a folder of their own.
    """
    named: dict[str, Path] = {}
    modules: dict[str, Path] = {}
    for scenario in scenarios:
        paths, found = contents.files(scenario)
        named |= paths
        modules |= found
    absolute = [name for name in named if Path(name).is_absolute()]
    if absolute:
        raise InputError(f"{absolute[0]}: an absolute path, which another machine does not have: name it from the scenario's folder")
    root = _common([base.resolve() / "scenario", *more.values(), *named.values()])
    files: dict[str, bytes] = {}
    for path in [*more.values(), *named.values()]:
        files[f"{INPUTS}/{path.resolve().relative_to(root).as_posix()}"] = path.read_bytes()
    for name, path in modules.items():
        if path.resolve().is_relative_to(root):
            files[f"{INPUTS}/{path.resolve().relative_to(root).as_posix()}"] = path.read_bytes()
        else:
            parts = name.split(".")
            inner = [*parts, "__init__.py"] if path.name == "__init__.py" else [*parts[:-1], path.name]
            files["/".join([MODULES, *inner])] = path.read_bytes()
    return files, PurePosixPath(base.resolve().relative_to(root).as_posix())


def outputs_of(folder: Path) -> dict[str, bytes]:
    """Return the bytes of what a run or sweep has written that depend on nothing else than what it was made of, by their paths."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.is_symlink() or _DRAWN.fullmatch(name) or any(part.startswith(".") for part in name.split("/")):
            continue
        content = path.read_bytes()
        if path.name == MANIFEST and path.parent == folder:
            manifest = json.loads(content)
            content = json_text({key: value for key, value in manifest.items() if key not in OF_THE_DAY}).encode()
        found[name] = content
    return found


def _packed(head: Mapping[str, Any], inputs: Mapping[str, bytes], outputs: Mapping[str, bytes]) -> bytes:
    members = {**dict(sorted(inputs.items())), **{f"{OUTPUTS}/{name}": content for name, content in sorted(outputs.items())}}
    tree = {name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in members.items()}
    content = {"schema": CAPSULE, **head, "root": root_of(tree), "tree": tree}
    return write_archive({HEAD: json_text(content).encode(), **members})


def root_of(tree: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the hash over the hashes of all files."""
    return hashlib.sha256("".join(f"{name}\0{tree[name]['sha256']}\n" for name in sorted(tree)).encode()).hexdigest()


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


# --- verifying one ------------------------------------------------------------------------------------------------


def verify_capsule(
    path: Path, *, workers: int | None = None, anyway: bool = False, allow_code: bool = True, tell: Callable[[str], None] = lambda _: None
) -> Verification:
    """Make the run or sweep of a capsule again and compare every byte of its outputs.

    `workers` are the processes of a sweep. Where versions differ nothing is run unless `anyway`. Raises InputError for what is no capsule,
    for one that reaches outside of itself, for one that brings code where that is not allowed, and for a run that fails.
    """
    archive = Archive(path)
    head = _head(archive)
    verdict = Verification(str(head["kind"]), str(head["name"]), sum(name.startswith(f"{OUTPUTS}/") for name in archive.members))
    verdict.damage = _damage_of(archive, head)
    if verdict.damage and any(archive.damage is not None and archive.damage.member.startswith(f"{part}/") for part in (INPUTS, MODULES)):
        return verdict  # it is not what the run was made of
    verdict.missing = _missing(head)
    if verdict.missing and not anyway:
        return verdict
    brought = [str(name) for name in head["user_code"]]
    if brought and not allow_code:
        raise InputError(f"{path}: it brings code of others ({', '.join(brought)}), which --no-code refuses to run")
    if brought:
        tell(f"it brings code that is run: {', '.join(brought)}")
    tell(f"the {verdict.kind} {verdict.name} is made again")
    with _scratch() as scratch:
        made = _made_again(archive, head, scratch, workers)
    verdict.ran = True
    kept = {name.removeprefix(f"{OUTPUTS}/"): content for name, content in archive.members.items() if name.startswith(f"{OUTPUTS}/")}
    for name in sorted({*kept, *made}):
        one, other = kept.get(name), made.get(name)
        if one != other:
            verdict.differing.append(_first_byte(name, one, other))
    return verdict


def _head(archive: Archive) -> dict[str, Any]:
    """The capsule's head, with what it says about itself checked; raises InputError."""
    damaged = f" (damaged: {archive.damage})" if archive.damage is not None else ""
    text = archive.members.get(HEAD, b"")
    try:
        if not text or len(text) > _HEAD_MAX:
            raise ValueError(f"has no {HEAD}")
        head = json.loads(text)
        if head["schema"] != CAPSULE or head["kind"] not in ("run", "sweep"):
            raise ValueError(f"is of the schema {head['schema']!r}, expected {CAPSULE!r}")
        tree, file = dict(head["tree"]), str(head["file"])
        files = {name for name in archive.members if name != HEAD}
        if {*tree} != files or any(name.split("/")[0] not in (INPUTS, OUTPUTS, MODULES) for name in files):
            raise ValueError("holds other files than its tree names")
        if f"{INPUTS}/{file}" not in files:
            raise ValueError(f"does not hold {INPUTS}/{file}, which it is made of")
        [int(seed) for seed in head["seeds"]], dict(head["versions"]), list(head["user_code"]), str(head["code"]), bool(head["audit"])
        if head["root"] != root_of(tree) and archive.damage is None:
            raise ValueError("has a root that is not that of its tree")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{archive.path}: {HEAD}: {said}{damaged}, expected what `capsule create` has written") from None
    return dict(head)


def _damage_of(archive: Archive, head: Mapping[str, Any]) -> str:
    if archive.damage is not None:
        return str(archive.damage)
    for name, known in head["tree"].items():
        if hashlib.sha256(archive.members[name]).hexdigest() != known["sha256"]:
            return f"{name} is not what the tree of hashes says"
    return ""


def _missing(head: Mapping[str, Any]) -> list[str]:
    """What the run was made with and is not installed here."""
    here = {**versions(), "pyarrow": _installed("pyarrow")}
    wanted = head["versions"]
    found = [f"{name} {wanted.get(name)}, here {here.get(name)}" for name in NEEDED if wanted.get(name) != here.get(name)]
    if head["code"] != code():
        found.append(f"the sources of marketsim with the hash {head['code']}, here {code()}")
    return found


def _made_again(archive: Archive, head: Mapping[str, Any], scratch: Path, workers: int | None) -> dict[str, bytes]:
    for name, content in archive.members.items():
        if name.split("/")[0] in (INPUTS, MODULES):
            target = scratch / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o700)  # a price script is run
    inside = (scratch / INPUTS).resolve()
    file = inside / head["file"]
    _stay_inside(inside, archive.path)
    folder = scratch / "made"
    if head["kind"] == "sweep":
        command = ["sweep", str(file), "--out", str(folder), "--quiet", *([] if workers is None else ["--workers", str(workers)])]
    else:
        command = [*_run_command(str(file), folder), "--seed", str(head["seeds"][0]), *(["--audit"] if head["audit"] else [])]
    run_apart(command, inside, {"PYTHONPATH": str(scratch / MODULES)})
    return outputs_of(folder)


def _stay_inside(inside: Path, capsule: Path) -> None:
    """Refuse a capsule whose files name others outside of it."""
    for file in sorted(path for path in inside.rglob("*") if path.suffix in (".yaml", ".yml", ".json")):
        try:
            data = json.loads(file.read_bytes()) if file.suffix == ".json" else read_source(file).data
        except (ValueError, RecursionError, InputError):
            continue  # the run will say what is wrong with it, if it reads it at all
        for name in _files_named(data):
            if Path(name).is_absolute() or not (file.parent / name).resolve().is_relative_to(inside):
                raise InputError(f"{capsule}: {file.relative_to(inside)}: names {name}, which is outside of the capsule")


def _files_named(node: Any, key: str = "") -> Iterator[str]:
    """Every text that stands where scenarios and sweeps name a file."""
    if isinstance(node, Mapping):
        for inner, value in node.items():
            yield from _files_named(value, str(inner))
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _files_named(value, key)
    elif isinstance(node, str) and key in _NAMING:
        yield node


def _run_command(scenario: str, folder: Path) -> list[str]:
    return ["run", scenario, "--out", str(folder), "--no-figures", "--quiet"]


@contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="marketsim-capsule-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- the first byte ------------------------------------------------------------------------------------------------


def _first_byte(name: str, kept: bytes | None, made: bytes | None) -> dict[str, Any]:
    """Where a file differs first: its byte, and the row or key that this is of."""
    if kept is None or made is None:
        return {
            "file": name,
            "offset": None,
            "kept": None,
            "made": None,
            "place": f"only in {'the run' if kept is None else 'the capsule'}",
        }
    shared = min(len(kept), len(made))
    offset = next((at for at in range(shared) if kept[at] != made[at]), shared)
    return {
        "file": name,
        "offset": offset,
        "kept": kept[offset] if offset < len(kept) else None,
        "made": made[offset] if offset < len(made) else None,
        "place": _place_of(name, kept, made, offset),
    }


def _place_of(name: str, kept: bytes, made: bytes, offset: int) -> str:
    if name.endswith(".json"):
        return _key_of(kept, made)
    if name.endswith(".parquet"):
        return _cell_of(kept, made)
    line = kept[:offset].count(b"\n") + 1
    if name.endswith(".csv"):
        names = made.split(b"\n", 1)[0].decode(errors="replace").split(",")
        column = kept[kept.rfind(b"\n", 0, offset) + 1 : offset].count(b",")
        return f"line {line:,}, {names[column] if column < len(names) else f'column {column + 1}'}"
    return f"line {line:,}"


def _key_of(kept: bytes, made: bytes) -> str:
    try:
        changed = changed_keys(json.loads(kept), json.loads(made))
    except (ValueError, RecursionError):
        return "no JSON any more"
    if not changed:
        return "the same values, written otherwise"
    key, one, other = changed[0]
    return f"{key}: {_short(one)} in the capsule, {_short(other)} here"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _cell_of(kept: bytes, made: bytes) -> str:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        tables = [pq.read_table(pyarrow.BufferReader(content)) for content in (kept, made)]
    except (pyarrow.ArrowException, OSError, ValueError):
        return "no parquet file any more"
    one, other = tables
    if one.column_names != other.column_names:
        return f"columns {', '.join(sorted(set(one.column_names) ^ set(other.column_names)))}"
    best: tuple[int, str] | None = None
    for column in one.column_names:
        values = one[column].to_pylist(), other[column].to_pylist()
        row = next((at for at, pair in enumerate(zip(*values, strict=False)) if pair[0] != pair[1]), min(map(len, values)))
        if row < max(map(len, values)) and (best is None or row < best[0]):
            best = row, column
    return "the same values, written otherwise" if best is None else f"row {best[0]:,}, {best[1]}"


def verdict_lines(path: Path, verdict: Verification) -> list[str]:
    """Return what `capsule verify` prints."""
    what = f"{path}: the {verdict.kind} {verdict.name}"
    lines = []
    if verdict.damage:
        lines.append(f"{what}: damaged: {verdict.damage}")
    if verdict.missing:
        how = "it was made all the same" if verdict.ran else "so it was not made again (--anyway makes it all the same)"
        lines += [f"{what} needs what is not installed here, {how}:", *(f"  {one}" for one in verdict.missing)]
    if verdict.ran and not verdict.differing:
        lines.append(f"{what}: made again here, all {verdict.files} files are the same, byte for byte")
    for number, one in enumerate(verdict.differing):
        if one["offset"] is None:
            lines.append(f"{what}: {one['file']} is {one['place']}")
            continue
        bytes_ = ["the end" if value is None else f"0x{value:02x}" for value in (one["kept"], one["made"])]
        first = "the first byte that differs is" if number == 0 else "also"
        lines.append(
            f"{what}: {first} {one['file']}, byte {one['offset']:,}: {bytes_[0]} in the capsule, {bytes_[1]} here ({one['place']})"
        )
    return lines
