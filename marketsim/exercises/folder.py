"""A learner's folder: begun from an instance, read, checked, put back to its beginning; what was done is kept in `check.json`."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from marketsim.errors import InputError
from marketsim.exercises.dice import Dice
from marketsim.exercises.exercise import Exercise, Submission, Told
from marketsim.exercises.judging import ANSWER_MOST, form_problem
from marketsim.exercises.plain_yaml import read_mapping, yaml_text
from marketsim.exercises.shelf import exercise_of
from marketsim.experiments.runs.execute import write_atomically
from marketsim.export.folder import written_whole

README, TASK, RECORD, SUBMIT, CHECK, KEPT = "README.md", "task.yaml", "record", "submit", "check.json", "kept"
_LEARNER: Final = re.compile(r"\w[\w.@+-]{0,79}\Z")
_RECORD_MOST: Final = 4_000_000
_NEW: Final = {"checks": 0, "hints": 0, "resets": 0, "problem": None}


class LearnerFolder(NamedTuple):
    """A learner's folder as it was read: whose it is, what it asks, what is handed in."""

    place: Path
    exercise: Exercise
    learner: str
    graded: bool
    """Whether a course's secret drew it; else it is practice."""
    task: Mapping[str, Any]
    record: Mapping[str, str]
    submission: Submission


def start(name: str, learner: str, place: Path, secret: bytes | None) -> list[Path]:
    """Begin an exercise in a new or empty folder; return the files to hand in. Without a secret it is practice.

    Raises InputError for a name that is no exercise, a learner's name that is none, and a folder with something in it.
    """
    exercise = exercise_of(name)
    if not is_learner(learner):
        raise InputError(f"--learner: '{learner}' cannot name a learner, give up to 80 letters, digits and . @ + - _, such as anna.k")
    if place.exists() and not place.is_dir():
        raise InputError(f"{place}: is a file, give a new or an empty folder")
    if place.is_dir() and any(place.iterdir()):
        raise InputError(f"{place}: the folder is not empty, give a new or an empty one")
    told = exercise.told(draw_instance(exercise, learner, secret))
    if place.resolve() == Path.cwd():  # a folder that somebody stands in cannot be exchanged for another
        _write(place, exercise, learner, told, graded=secret is not None)
    else:
        try:
            with written_whole(place) as fresh:
                _write(fresh, exercise, learner, told, graded=secret is not None)
        except InputError as error:
            raise InputError(line.replace("--out:", "--dir:") for line in error.lines) from None
    return [place / SUBMIT / file for file in exercise.files]


def draw_instance(exercise: Exercise, learner: str, secret: bytes | None) -> Any:
    """Return a learner's instance of an exercise: the same whenever it is drawn."""
    return _instance(exercise.name, learner, secret)


@lru_cache(maxsize=64)
def _instance(name: str, learner: str, secret: bytes | None) -> Any:
    return exercise_of(name).draw(Dice.of(secret, name, learner), practice=secret is None)


def _write(folder: Path, exercise: Exercise, learner: str, told: Told, *, graded: bool) -> None:
    head = {"exercise": exercise.name, "version": exercise.version, "learner": learner, "graded": graded}
    kind = (
        "Your trainer grades it."
        if graded
        else "This is practice: drawn without a course's secret, so its answers are no secret. `marketsim exercise grade` grades it."
    )
    how = (
        f"Hand in: {', '.join(f'`{SUBMIT}/{file}`' for file in exercise.files)}. In this folder, `marketsim exercise check` says what is "
        "wrong with the form, `marketsim exercise hint` gives a hint, `marketsim exercise reset` begins again."
    )
    (folder / README).write_text(f"# {exercise.title}\n\n{told.readme.strip()}\n\n{how}\n\n{kind}\n", encoding="utf-8")
    (folder / TASK).write_text(yaml_text(head | told.task), encoding="utf-8")
    for part, files in ((RECORD, told.record), (SUBMIT, told.submit)):
        (folder / part).mkdir()
        for name, text in files.items():
            (folder / part / name).write_text(text, encoding="utf-8")
    if told.submit:
        begun = folder / RECORD / "begun"
        begun.mkdir()
        for name, text in told.submit.items():
            (begun / name).write_text(text, encoding="utf-8")
    (folder / CHECK).write_text(json.dumps(_NEW, indent=1) + "\n", encoding="utf-8")


def read_folder(place: Path) -> LearnerFolder:
    """Read a learner's folder; what is handed in is not judged.

    Raises InputError for a folder that no exercise was begun in, and for links in it: who grades it would read what they point to.
    """
    text = _text(place / TASK, _RECORD_MOST)
    if text is None:
        raise InputError(f"{place / TASK}: is not there, expected the folder of an exercise, such as `marketsim exercise start` begins")
    task = read_mapping(text, str(place / TASK))
    kinds: dict[str, type] = {"exercise": str, "learner": str, "graded": bool, "version": int}
    for key, kind in kinds.items():
        if not isinstance(task.get(key), kind):
            raise InputError(f"{place / TASK}: {key}: is missing or something else than it was, begin the exercise again")
    exercise = exercise_of(task["exercise"])
    if not is_learner(task["learner"]):
        raise InputError(f"{place / TASK}: learner: {task['learner'][:80]!a} cannot name a learner")
    for part in (RECORD, SUBMIT):
        if (place / part).is_symlink():
            raise InputError(f"{place / part}: is a link, put the folder itself there")
    submission = _texts({name: place / SUBMIT / name for name in exercise.files}, ANSWER_MOST + 1)
    record = _texts({file.relative_to(place / RECORD).as_posix(): file for file in sorted((place / RECORD).rglob("*"))}, _RECORD_MOST)
    return LearnerFolder(place, exercise, task["learner"], task["graded"], task, record, submission)


def is_learner(name: str) -> bool:
    """Whether a text can name a learner."""
    return _LEARNER.match(name) is not None


def _texts(files: Mapping[str, Path], most: int) -> dict[str, str]:
    """The texts of those files that are there, cut where one is far longer than an answer or a record can be."""
    found = {name: _text(file, most) for name, file in files.items()}
    return {name: text for name, text in found.items() if text is not None}


def _text(file: Path, most: int) -> str | None:
    """At most so many bytes of a file as text, None where there is no file. Raises InputError for a link."""
    if file.is_symlink():
        raise InputError(f"{file}: is a link, put the file itself there")
    if not file.is_file():
        return None
    with file.open("rb") as opened:
        return opened.read(most).decode("utf-8", errors="replace")


def check(place: Path) -> str | None:
    """Return the first thing that is wrong with the form of what is handed in, None where nothing is; keep it with the progress."""
    found = read_folder(place)
    problem = form_problem(found.exercise, found.task, found.record, found.submission)
    progress = _progress(place)
    _keep(place, progress | {"checks": progress["checks"] + 1, "problem": problem})
    return problem


def hint(place: Path) -> tuple[int, int, str]:
    """Return the number of the next hint, how many there are, and the hint; after the last one it stays the last."""
    exercise = read_folder(place).exercise
    progress = _progress(place)
    number = min(progress["hints"] + 1, len(exercise.hints))
    _keep(place, progress | {"hints": number})
    return number, len(exercise.hints), exercise.hints[number - 1]


def reset(place: Path) -> Path:
    """Put the files to hand in back as they were at the beginning; return the folder where what was there is kept."""
    found = read_folder(place)
    progress = _progress(place)
    number = progress["resets"] + 1
    while (kept := place / KEPT / str(number)).exists():
        number += 1
    kept.parent.mkdir(exist_ok=True)
    if (place / SUBMIT).exists():
        shutil.move(place / SUBMIT, kept)
    else:
        kept.mkdir()
    (place / SUBMIT).mkdir()
    for name in found.exercise.files:
        if (begun := place / RECORD / "begun" / name).is_file():
            shutil.copyfile(begun, place / SUBMIT / name)
    _keep(place, progress | {"resets": number, "problem": None})
    return kept


def _progress(place: Path) -> dict[str, Any]:
    """What was done so far; a file that somebody broke counts as a new one."""
    try:
        found = json.loads(_text(place / CHECK, _RECORD_MOST) or "{}")
        return {key: found.get(key) if isinstance(found.get(key), type(value)) else value for key, value in _NEW.items()}
    except (InputError, OSError, ValueError, RecursionError, AttributeError):
        return dict(_NEW)


def _keep(place: Path, progress: Mapping[str, Any]) -> None:
    write_atomically(place / CHECK, (json.dumps(progress, indent=1, ensure_ascii=False) + "\n").encode())
