"""What a hostile or clumsy learner hands in: no exercise falls over it, nothing of the trainer's is read, nobody gets points for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from marketsim.cli import main
from marketsim.errors import InputError
from marketsim.exercises import folder as folders
from marketsim.exercises.dice import Dice
from marketsim.exercises.folder import draw_instance
from marketsim.exercises.grading import grade_source
from marketsim.exercises.judging import ANSWER_MOST, form_problem, grade_submission
from marketsim.exercises.shelf import NAMES, exercise_of

SECRET = bytes(range(6, 38))
ALIASES = (
    "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
)
CLUMSY = {
    "nothing but space": " \n",
    "a list": "- 1\n- 2\n",
    "a word": "hello",
    "a table in place of YAML": "account;hours\na;1\n",
    "a table of one column": "account\nhours\n",
    "tabs": "\tcores: 5\n",
    "a key twice": "cores: 5\ncores: 6\n",
    "two documents": "cores: 5\n---\ncores: 6\n",
    "numbers as words": "cores: many\nevents: [{cause: outage, hour: noon}]\ncauses: [1]\n",
    "no numbers": "cores: .nan\nevents: [{cause: outage, hour: .inf}]\n",
    "numbers beyond reason": f"cores: {'9' * 5000}\nevents: [{{cause: outage, hour: 1e500000}}]\n",
    "lists for names": "causes: [[a]]\nevents: [{cause: [outage], hour: 1}]\ngroups: [{rules: [[]]}]\n",
    "mappings for names": "causes: [{a: b}]\nevents: [{cause: {a: 1}, hour: 1}]\ngroups: [{rules: [{alert: {a: 1}}]}]\n",
    "nothing for names": "causes: [null]\nevents: [null]\ngroups: [null]\n",
    "the wrong kinds": "cores: [5]\nfirst: 5\nsecond: [1]\nbid_engine: 7\nfilters: [1]\n",
}
HOSTILE = {
    "no text": "\xff\x00[",
    "nested lists": "[" * 5_000,
    "nested mappings": "a: " + "{a: " * 300 + "1" + "}" * 300,
    "aliases": ALIASES,
    "an alias of itself": "a: &x {b: *x}\n",
    "code": "a: !!python/object/apply:os.system ['touch pwned']\n",
    "what a terminal obeys": 'causes: ["\\e[31m"]\nevents: [{cause: "\\e[2J", hour: 1}]\ngroups: "\\e[2J"\n',
    "ten thousand rules": "groups:\n- name: a\n  rules:\n" + "".join(f"  - {{alert: a{at}, expr: up}}\n" for at in range(10_000)),
    "five megabytes": "a: " + "x" * 5_000_000,
    "a quote without an end": 'account,hours\n"' + "x" * 5_000,
}


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_read_says_why_and_gets_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exercise = exercise_of(name)
    instance = exercise.drawn(Dice.of(SECRET, name, "anna"), practice=False)  # nothing is run for a file that cannot be read
    for case, text in (CLUMSY | HOSTILE).items():
        submission = dict.fromkeys(exercise.files, text)
        grade = grade_submission(exercise, instance, submission)
        assert grade.score == 0, case
        said = [part.seen for part in grade.parts] + [form_problem(exercise, {}, {}, submission) or ""]
        assert all(line and line.isprintable() and len(line) < 400 for line in said), case
        assert any(line.startswith(exercise.files) for line in said[:-1]) or "0 of" in said[0], (case, said)
    assert not list(tmp_path.iterdir())


def test_a_long_file_is_named_and_not_read(tmp_path: Path) -> None:
    folders.start("pricing", "anna", tmp_path / "anna", None)
    file = tmp_path / "anna" / "submit" / "provider-config.yaml"
    file.write_text(file.read_text() + "# " + "x" * ANSWER_MOST)
    assert folders.check(tmp_path / "anna") == "submit/provider-config.yaml: is larger than 64 KiB, no answer needs to be"
    graded = grade_source(tmp_path / "anna", None)
    assert graded.grade.score == 0 and len(graded.submission["provider-config.yaml"]) <= ANSWER_MOST + 1


@pytest.mark.parametrize("what", ["submit/provider-config.yaml", "submit", "record", "record/begun", "task.yaml"])
def test_a_link_would_read_what_is_the_trainers(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that points to the course's secret would stand in the bundle that the learner gets back."""
    (tmp_path / "secret").write_text(SECRET.hex())
    folders.start("pricing", "anna", tmp_path / "anna", None)
    folders.start("pricing", "ben", tmp_path / "ben", None)
    place = tmp_path / "anna" / what
    place.rename(tmp_path / "aside")
    place.symlink_to(tmp_path / "secret" if place.suffix else tmp_path / "aside")
    assert main(["exercise", "grade", str(tmp_path / "anna"), str(tmp_path / "ben")]) == 2
    out = capsys.readouterr()
    assert f"{place}: is a link" in out.err and "pricing: ben" in out.out
    assert not any(SECRET.hex() in file.read_text() for file in (tmp_path / "anna").rglob("*") if file.is_file() and not file.is_symlink())


@pytest.mark.parametrize("what", ["submit/provider-config.yaml", "task.yaml", "check.json"])
def test_what_is_no_file_is_not_waited_for(what: str, tmp_path: Path) -> None:
    folders.start("pricing", "anna", tmp_path / "anna", None)
    (tmp_path / "anna" / what).unlink()
    os.mkfifo(tmp_path / "anna" / what)
    if what == "task.yaml":
        with pytest.raises(InputError, match="is not there"):
            grade_source(tmp_path / "anna", None)
    else:
        assert (folders.check(tmp_path / "anna") or "").startswith("submit/provider-config.yaml: ")
        seen = grade_source(tmp_path / "anna", None).grade.parts[0].seen
        assert (seen == "nothing was handed in") == what.startswith("submit")


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("learner", "\x1b[31mben", "cannot name a learner"),
        ("learner", "../ben", "cannot name a learner"),
        ("score", 10**400, "score: is none"),
        ("score", float("nan"), "score: is none"),
        ("score", 101, "score: is none"),
        ("exercise", "prices", "is no exercise"),
        ("submission", ["x"], "submission: is missing or of another kind"),
        ("practice", False, "give --course"),
        ("schema", "marketsim-exercise-bundle/9", "is no bundle"),
    ],
)
def test_a_bundle_that_somebody_edited_is_refused_with_its_key(key: str, value: Any, problem: str, tmp_path: Path) -> None:
    folders.start("pricing", "anna", tmp_path / "anna", None)
    bundle = tmp_path / "bundle.json"
    bundle.write_text(json.dumps(grade_source(tmp_path / "anna", None).bundle() | {key: value}))
    with pytest.raises(InputError, match=problem):
        grade_source(bundle, None)


def test_bundles_of_others_and_bundles_given_twice_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who hands in another's bundle under his own name is graded with his own figures; who is graded twice is named."""
    exercise = exercise_of("pricing")
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "secret").write_text(SECRET.hex())
    folders.start("pricing", "anna", tmp_path / "anna", SECRET)
    right = exercise.oracle(draw_instance(exercise, "anna", SECRET))
    (tmp_path / "anna" / "submit" / "provider-config.yaml").write_text(right["provider-config.yaml"])
    bundle = grade_source(tmp_path / "anna", SECRET).bundle()
    (tmp_path / "anna.json").write_text(json.dumps(bundle))
    (tmp_path / "ben.json").write_text(json.dumps(bundle | {"learner": "ben"}))
    sources = [str(tmp_path / name) for name in ("anna", "anna.json", "ben.json")]
    assert main(["exercise", "grade", *sources, "--course", str(tmp_path / "course"), "--json"]) == 0
    out = capsys.readouterr()
    folder, again, ben = json.loads(out.out)
    assert folder["score"] == again["score"] == 100 and ben["score"] < 60
    assert f"{sources[1]}: pricing of anna is graded twice, {sources[0]} too" in out.err
    assert f"{sources[2]}: ben handed in the same as anna ({sources[0]})" in out.err
    assert "the bundle is not as it was written" in main_says(capsys, sources[2], tmp_path / "course")


def main_says(capsys: pytest.CaptureFixture[str], source: str, course: Path) -> str:
    assert main(["exercise", "grade", source, "--course", str(course)]) == 0
    return capsys.readouterr().out


def test_two_who_have_done_nothing_have_copied_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = []
    for learner in ("anna", "ben"):
        folders.start("escrow", learner, tmp_path / learner, None)
        sources.append(str(tmp_path / learner))
    assert main(["exercise", "grade", *sources]) == 0
    assert capsys.readouterr().err == ""
    for source in sources:
        (Path(source) / "submit" / "hours.csv").write_text("account,hours\ntenant-1/1,12.00\n")
    (tmp_path / "ben" / "record" / "begun" / "hours.csv").write_text("account,hours\ntenant-1/1,12.00\n")
    assert main(["exercise", "grade", *sources[::-1]]) == 0
    assert "anna handed in the same as ben" in capsys.readouterr().err
