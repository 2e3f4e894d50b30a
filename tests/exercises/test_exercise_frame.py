"""The frame of the exercises: folders, bundles, courses, forms of grades, and what no folder may hold."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import socket
import subprocess
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest

from marketsim.cli import main
from marketsim.errors import InputError
from marketsim.exercises import folder as folders
from marketsim.exercises.course import course_secret, init_course
from marketsim.exercises.dice import Dice
from marketsim.exercises.folder import draw_instance
from marketsim.exercises.grading import grade_source
from marketsim.exercises.plain_yaml import as_number, leaves, read_mapping, yaml_text
from marketsim.exercises.shelf import NAMES, exercise_of

SECRET = bytes(range(32))


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("course") / "course"
    init_course(place)
    (place / "secret").write_text(SECRET.hex())
    return place


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each exercise begun by anna in a course; the folders are looked at only."""
    place = tmp_path_factory.mktemp("begun")
    for name in NAMES:
        folders.start(name, "anna", place / name, SECRET)
    return {name: place / name for name in NAMES}


def said(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[str, str]:
    assert main([*map(str, words)]) == code
    out = capsys.readouterr()
    return out.out, out.err


def test_the_dice_are_the_same_for_ever_and_each_learners_own() -> None:
    """The figures were worked out once; another Python or another version must not move an instance."""
    dice = Dice.of(SECRET, "pricing", "anna")
    assert [dice.whole(1, 1000) for _ in range(4)] == KNOWN == dice_of("anna", 4)
    assert dice_of("anna", 4) != dice_of("ben", 4)
    assert Dice.of(SECRET, "alerts", "anna").whole(1, 10**9) != Dice.of(SECRET, "pricing", "anna").whole(1, 10**9)
    assert Dice.of(None, "pricing", "anna").whole(1, 10**9) != Dice.of(SECRET, "pricing", "anna").whole(1, 10**9)
    seen = [dice.pick("abc") for _ in range(3000)]
    assert all(900 < seen.count(letter) < 1100 for letter in "abc")
    assert sorted(dice.shuffled(range(9))) == list(range(9))
    assert {str(dice.decimal("0.5", "0.7", "0.1")) for _ in range(60)} == {"0.5", "0.6", "0.7"}


KNOWN = [284, 533, 669, 371]


def dice_of(learner: str, count: int) -> list[int]:
    dice = Dice.of(SECRET, "pricing", learner)
    return [dice.whole(1, 1000) for _ in range(count)]


def test_tasks_are_written_as_people_write_them() -> None:
    text = yaml_text({"percent": Decimal("72.5"), "hours": Decimal(24), "name": "15"})
    assert text == "percent: 72.5\nhours: 24\nname: '15'\n"
    assert read_mapping(text, "task.yaml") == {"percent": Decimal("72.5"), "hours": 24, "name": "15"}
    assert as_number("0.10uve") == as_number("0.1uve") != as_number("0.1") == as_number(Decimal("0.100"))
    assert leaves({"a": {"b": 1}, "c": ["x"]}) == {("a", "b"): as_number(1), ("c",): ["x"]}


def test_the_list_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(said(capsys, "exercise", "list", "--json")[0])
    assert [row["name"] for row in rows] == list(NAMES)
    lines = said(capsys, "exercise", "list")[0].splitlines()
    assert len(lines) == len(NAMES) and all(row["title"] in line for row, line in zip(rows, lines, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_no_folder_holds_an_answer(name: str, begun: dict[str, Path], tmp_path: Path) -> None:
    """Every file is looked through, after hints, checks and a reset too: for words that would give the market away, for digests, for the
    values of the answer.
    """
    exercise = exercise_of(name)
    answers = exercise.answers(draw_instance(exercise, "anna", SECRET))
    assert answers
    used = tmp_path / "used"
    shutil.copytree(begun[name], used)
    folders.check(used)
    for _ in exercise.hints:
        folders.hint(used)
    folders.reset(used)
    files = [file for place in (begun[name], used) for file in place.rglob("*") if file.is_file()]
    assert {"README.md", "task.yaml", "check.json"} <= {file.name for file in files}
    texts = {str(file): file.read_text("utf-8") for file in files}
    if not exercise.needs or shutil.which(exercise.needs):
        texts["the bundle"] = json.dumps(grade_source(begun[name], SECRET).bundle())
    for file, text in texts.items():
        assert not re.search(r"\b(seed|fingerprint|trail|sha256|scenario|salt)\b", text, re.IGNORECASE), file
        assert not re.search(r"\b[0-9a-f]{16,}\b", text), file
        assert SECRET.hex()[:8] not in text
        for answer in answers:
            assert not re.search(rf"(?<![\w.]){re.escape(answer)}(?![\w.])", text), (file, answer)


@pytest.mark.parametrize("name", NAMES)
def test_grading_needs_no_network(name: str, begun: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here no socket can be had; promtool, a process of its own, runs without a network where the kernel lets one take it away."""
    exercise = exercise_of(name)
    if exercise.needs:
        if (program := shutil.which(exercise.needs)) is None:
            pytest.skip(f"{exercise.needs} is not installed")
        if shutil.which("unshare") and subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0:
            alone = tmp_path / "alone" / exercise.needs
            alone.parent.mkdir()
            alone.write_text(f'#!/bin/sh\nexec unshare -rn {program} "$@"\n')
            alone.chmod(0o755)
            monkeypatch.setenv("PATH", str(alone.parent), prepend=os.pathsep)

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("grading went to the network")

    for call in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, call, no_network)
    shutil.copytree(begun[name], tmp_path / name)
    for file, text in exercise.oracle(draw_instance(exercise, "anna", SECRET)).items():
        (tmp_path / name / "submit" / file).write_text(text)
    assert grade_source(tmp_path / name, SECRET).grade.score == 100


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_the_same_whenever_it_is_begun(name: str, begun: dict[str, Path], tmp_path: Path) -> None:
    folders.start(name, "anna", tmp_path / "again", SECRET)
    files = sorted(file.relative_to(begun[name]) for file in begun[name].rglob("*") if file.is_file())
    assert files == sorted(file.relative_to(tmp_path / "again") for file in (tmp_path / "again").rglob("*") if file.is_file())
    assert all((begun[name] / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_right_passes_the_check_and_what_is_not_there_is_named(name: str, begun: dict[str, Path], tmp_path: Path) -> None:
    exercise = exercise_of(name)
    if exercise.needs and shutil.which(exercise.needs) is None:
        pytest.skip(f"{exercise.needs} is not installed")
    place = tmp_path / name
    shutil.copytree(begun[name], place)
    for file in exercise.files:
        (place / "submit" / file).unlink(missing_ok=True)
    assert folders.check(place) == f"submit/{exercise.files[0]}: is missing"
    for file, text in exercise.oracle(draw_instance(exercise, "anna", SECRET)).items():
        (place / "submit" / file).write_text(text)
    assert folders.check(place) is None
    for file in exercise.files:
        (place / "submit" / file).write_bytes(b"\xff\x00: [}")
        assert (folders.check(place) or "").startswith(f"submit/{file}"), file
        (place / "submit" / file).write_text(exercise.oracle(draw_instance(exercise, "anna", SECRET))[file])
    progress = json.loads((place / "check.json").read_text())
    assert progress["checks"] == 2 + len(exercise.files)


def test_hints_go_on_and_reset_keeps_a_copy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place = tmp_path / "mine"
    out, _ = said(capsys, "exercise", "start", "pricing", "--learner", "anna", "--dir", place)
    assert "practice" in out and str(place / "submit" / "provider-config.yaml") in out
    assert "practice" in (place / "README.md").read_text()
    first = said(capsys, "exercise", "hint", place)[0]
    second = said(capsys, "exercise", "hint", "--dir", place)[0]
    assert first.startswith("hint 1 of ") and second.startswith("hint 2 of ")
    for _ in range(9):
        last = said(capsys, "exercise", "hint", place)[0]
    count = len(exercise_of("pricing").hints)
    assert last.startswith(f"hint {count} of {count}")
    before = (place / "submit" / "provider-config.yaml").read_text()
    (place / "submit" / "provider-config.yaml").write_text("mine")
    said(capsys, "exercise", "reset", place)
    assert (place / "submit" / "provider-config.yaml").read_text() == before
    assert (place / "kept" / "1" / "provider-config.yaml").read_text() == "mine"
    said(capsys, "exercise", "reset", place)
    assert (place / "kept" / "2" / "provider-config.yaml").read_text() == before
    assert json.loads((place / "check.json").read_text())["hints"] == count


def test_bad_words_are_answered_with_what_would_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for words, problem in (
        (("start", "pricin", "--learner", "anna", "--dir", tmp_path / "a"), "did you mean 'pricing'"),
        (("start", "pricing", "--learner", "=cmd()", "--dir", tmp_path / "a"), "cannot name a learner"),
        (("check", tmp_path), "task.yaml: is not there"),
        (("grade", tmp_path), "task.yaml: is not there"),
        (("start", "pricing", "--learner", "anna", "--dir", tmp_path / "a", "--course", tmp_path), "is no course"),
        (("start", "pricing", "--learner", "anna", "--dir", tmp_path / "file" / "a"), "--dir: cannot be written"),
    ):
        assert problem in said(capsys, "exercise", *words, code=2)[1]
    assert not (tmp_path / "a").exists()
    folders.start("pricing", "anna", tmp_path / "a", None)
    assert "not empty" in said(capsys, "exercise", "start", "pricing", "--learner", "anna", "--dir", tmp_path / "a", code=2)[1]


def test_a_course_is_made_once_and_its_secret_is_the_trainers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said(capsys, "exercise", "course", "init", tmp_path / "one")
    said(capsys, "exercise", "course", "init", tmp_path / "two")
    assert (tmp_path / "one" / "secret").stat().st_mode & 0o077 == 0
    assert course_secret(tmp_path / "one") != course_secret(tmp_path / "two")
    assert "there already" in said(capsys, "exercise", "course", "init", tmp_path / "one", code=2)[1]
    (tmp_path / "two" / "secret").write_text("abc")
    with pytest.raises(InputError, match="hexadecimal"):
        course_secret(tmp_path / "two")


def test_a_class_is_graded_in_every_form_and_bundles_again(
    capsys: pytest.CaptureFixture[str], course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object) -> None:
        raise AssertionError("grading went to the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    exercise = exercise_of("pricing")
    for learner in ("anna", "ben"):
        said(capsys, "exercise", "start", "pricing", "--learner", learner, "--dir", tmp_path / learner, "--course", course)
    right = exercise.oracle(draw_instance(exercise, "anna", SECRET))
    for learner in ("anna", "ben"):
        (tmp_path / learner / "submit" / "provider-config.yaml").write_text(right["provider-config.yaml"])
    sources = [tmp_path / "anna", tmp_path / "ben"]
    forms = ["--junit", tmp_path / "out" / "j.xml", "--csv", tmp_path / "out" / "class.csv"]
    out, err = said(capsys, "exercise", "grade", *sources, "--course", course, "--json", *forms)
    anna, ben = json.loads(out)
    assert anna["score"] == 100 and ben["score"] < 60 and not anna["practice"]
    assert "ben handed in the same as anna" in err
    assert sum(part["points"] for part in ben["criteria"]) == pytest.approx(ben["score"], abs=0.006)
    suites = ElementTree.parse(tmp_path / "out" / "j.xml").getroot()
    assert [(s.get("name"), s.get("tests")) for s in suites] == [("pricing.anna", "3"), ("pricing.ben", "3")]
    assert [s.get("failures") == "0" for s in suites] == [True, False]
    rows = list(csv.DictReader((tmp_path / "out" / "class.csv").open()))
    assert [(row["learner"], row["kind"], row["score"]) for row in rows] == [
        ("anna", "graded", "100.00"),
        ("ben", "graded", f"{ben['score']:.2f}"),
    ]

    bundle = tmp_path / "ben" / "bundle.json"
    again = json.loads(said(capsys, "exercise", "grade", bundle, "--course", course, "--json")[0])[0]
    assert again["score"] == ben["score"] == again["before"]["score"] and again["changed_versions"] == []
    data = json.loads(bundle.read_text())
    bundle.write_text(json.dumps(data | {"score": 100.0}))
    assert "is not as it was written" in said(capsys, "exercise", "grade", bundle, "--course", course)[0]
    bundle.write_text(json.dumps(data | {"score": 90.0, "versions": data["versions"] | {"numpy": "1.0"}}))
    text = said(capsys, "exercise", "grade", bundle, "--course", course)[0]
    assert re.search(r"numpy 1\.0 -> \S+: computed anew", text) and f"90.00 in the bundle, {ben['score']:.2f} now" in text
    assert SECRET.hex() not in bundle.read_text()


def test_practice_and_graded_are_not_taken_for_each_other(course: Path, tmp_path: Path) -> None:
    folders.start("pricing", "anna", tmp_path / "practice", None)
    folders.start("pricing", "anna", tmp_path / "graded", SECRET)
    with pytest.raises(InputError, match="give --course"):
        grade_source(tmp_path / "graded", None)
    with pytest.raises(InputError, match="is practice"):
        grade_source(tmp_path / "practice", SECRET)
    assert grade_source(tmp_path / "practice", None).practice


def test_one_that_cannot_be_graded_stops_no_other(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folders.start("pricing", "anna", tmp_path / "anna", None)
    (tmp_path / "broken.json").write_text("{")
    out, err = said(capsys, "exercise", "grade", tmp_path / "broken.json", tmp_path / "anna", "--bundles", tmp_path / "all", code=2)
    assert "anna (practice" in out and "broken.json: is no bundle" in err
    assert (tmp_path / "all" / "pricing-anna.json").is_file() and not (tmp_path / "anna" / "bundle.json").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_learners_have_a_thousand_tasks(name: str) -> None:
    """What is drawn before anything is run; the folder's figures are those of the task."""
    exercise = exercise_of(name)
    drawn = {repr(exercise.drawn(Dice.of(SECRET, name, f"learner-{number}"), practice=False)) for number in range(1000)}
    assert len(drawn) == 1000
