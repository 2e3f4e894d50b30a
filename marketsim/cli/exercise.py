"""`marketsim exercise` begins, checks and grades the training document's exercises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from marketsim.exercises.grading import Graded

Here = Annotated[Path | None, typer.Argument(metavar="[DIR]", help="The exercise's folder; default: this one.", show_default=False)]
HereToo = Annotated[Path | None, typer.Option("--dir", metavar="D", help="The same, as an option.", show_default=False)]
CourseFolder = Annotated[
    Path | None,
    typer.Option(
        "--course", metavar="FOLDER", help="A course's folder with the trainer's secret; default: MARKETSIM_COURSE, else practice."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    exercise = typer.Typer(help="Exercises of the training document: drawn for each learner, checked, graded.", no_args_is_help=True)
    exercise.command("list")(list_exercises)
    exercise.command("start")(start)
    exercise.command("check")(check)
    exercise.command("hint")(hint)
    exercise.command("reset")(reset)
    exercise.command("grade")(grade)
    exercise.command("selftest")(selftest)
    course = typer.Typer(help="A course has the secret that its learners' exercises are drawn with.", no_args_is_help=True)
    course.command("init")(course_init)
    exercise.add_typer(course, name="course")
    app.add_typer(exercise, name="exercise")


def list_exercises(as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of objects with name.")] = False) -> None:
    """Print the exercises, what they hand in, and about how long they take."""
    from marketsim.exercises.shelf import every_exercise

    found = every_exercise()
    if as_json:
        rows = [
            {"name": e.name, "title": e.title, "version": e.version, "minutes": e.minutes, "files": list(e.files), "needs": e.needs or None}
            for e in found
        ]
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    width = max(len(e.name) for e in found)
    for e in found:
        needs = f"; grading needs {e.needs}" if e.needs else ""
        typer.echo(f"{e.name:<{width}}  {e.title} ({e.minutes} min{needs})")


def start(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An exercise that `marketsim exercise list` prints.")],
    learner: Annotated[str, typer.Option("--learner", metavar="ID", help="Who learns: each learner has figures of their own.")],
    folder: Annotated[Path | None, typer.Option("--dir", metavar="D", help="A new or empty folder; default: ./NAME.")] = None,
    course: CourseFolder = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Begin an exercise in a folder: the task, a record to look at, and the files to hand in."""
    from marketsim.exercises.course import course_secret
    from marketsim.exercises.folder import start as begin

    secret = course_secret(course)
    place = folder or Path(name)
    files = begin(name, learner, place, secret)
    if quiet:
        return
    if secret is None:
        typer.echo("practice: drawn without a course's secret, so its answers are no secret")
    typer.echo(f"read {place / 'README.md'}, then hand in {', '.join(map(str, files))}")


def _one(folder: Path | None, option: Path | None) -> Path:
    return folder or option or Path()


def check(folder: Here = None, option: HereToo = None) -> None:
    """Say the first thing that is wrong with the form of what is handed in: exit 1. Whether it is right, only grading says."""
    from marketsim.exercises.folder import check as look

    problem = look(_one(folder, option))
    if problem is not None:
        typer.echo(problem)
        raise typer.Exit(1)
    typer.echo("nothing is wrong with the form; whether it is right, grading says")


def hint(folder: Here = None, option: HereToo = None) -> None:
    """Give the next hint."""
    from marketsim.exercises.folder import hint as next_hint

    number, count, text = next_hint(_one(folder, option))
    typer.echo(f"hint {number} of {count}: {text}")


def reset(folder: Here = None, option: HereToo = None) -> None:
    """Put the files to hand in back as they were at the beginning; what was there is kept, and so are hints and checks."""
    from marketsim.exercises.folder import reset as put_back

    kept = put_back(_one(folder, option))
    typer.echo(f"begun again; what you had is in {kept}")


def grade(
    sources: Annotated[list[Path], typer.Argument(metavar="D", help="Learners' folders, or bundles to grade again.")],
    course: CourseFolder = None,
    bundles: Annotated[
        Path | None, typer.Option("--bundles", metavar="FOLDER", help="Write the bundles there; default: bundle.json in each folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of the grades and nothing else.")] = False,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit's XML: a test a criterion.")] = None,
    table: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a table of the class.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Grade what was handed in, or a bundle again. What cannot be graded is named, the others are graded all the same: exit 2."""
    from marketsim.errors import InputError
    from marketsim.exercises.course import course_secret
    from marketsim.exercises.grade_forms import grade_data, grade_lines, grades_csv, grades_junit
    from marketsim.exercises.grading import grade_source, twice, write_bundle
    from marketsim.experiments.runs.execute import write_atomically

    secret = course_secret(course)
    found: list[Graded] = []
    errors: list[str] = []
    for number, source in enumerate(sources):
        try:
            graded = grade_source(source, secret)
        except InputError as error:
            errors += error.lines
            continue
        found.append(graded)
        if graded.before is None:
            try:
                write_bundle(graded, bundles)
            except OSError as error:
                errors.append(f"{source}: the bundle cannot be written ({error.strerror}), give --bundles with another folder")
        if not (as_json or quiet):
            typer.echo("\n".join([*([""] if number else []), *grade_lines(graded)]))
    if as_json:
        typer.echo(json.dumps([grade_data(graded) for graded in found], indent=1, ensure_ascii=False))
    for path, content in ((junit, grades_junit(found)), (table, grades_csv(found).encode())):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
    for line in twice(found):
        typer.echo(line, err=True)
    if errors:
        raise InputError(errors)


def selftest(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An exercise that `marketsim exercise list` prints.")],
    learners: Annotated[int, typer.Option("--learners", min=2, help="Learners whose instances are tried.")] = 8,
    guesses: Annotated[int, typer.Option("--guesses", min=1, help="Guesses for each of them.")] = 4,
    course: CourseFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as JSON and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Try whether the exercise grades as it says, on drawn instances: oracle 100, nothing 0, guesses like chance; exit 1 if not."""
    import secrets
    import sys

    from marketsim.exercises.course import course_secret
    from marketsim.exercises.selftest import selftest as try_it
    from marketsim.exercises.selftest import selftest_lines
    from marketsim.exercises.shelf import exercise_of

    secret = course_secret(course) or secrets.token_bytes(32)

    def tell(text: str) -> None:
        if not (quiet or as_json):
            print(f"selftest: {text}", file=sys.stderr, flush=True)

    lines = try_it(exercise_of(name), secret, learners, guesses, tell)
    typer.echo(json.dumps([line._asdict() for line in lines], indent=1) if as_json else "\n".join(selftest_lines(lines)))
    if not all(line.holds for line in lines):
        raise typer.Exit(1)


def course_init(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="A new or empty folder.")] = Path("course"),
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Make a course: a folder with a new secret, which only its trainer has."""
    from marketsim.exercises.course import init_course

    secret = init_course(folder)
    if not quiet:
        typer.echo(f"{secret}: keep it to yourself, and a copy of it; what is drawn with it cannot be graded without it")
