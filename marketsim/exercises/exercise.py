"""What an exercise is: how an instance is drawn, told to its learner, checked for form and graded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from marketsim.exercises.dice import Dice

Submission = Mapping[str, str]
"""What a learner hands in: the text of each file by its name; a file that is missing is not in it."""


class GradePart(NamedTuple):
    """One criterion of a grade: its points of the most that there are, and what was seen."""

    name: str
    points: float
    most: float
    seen: str


@dataclass(frozen=True)
class ExerciseGrade:
    """Points by criterion; they add up to at most 100."""

    parts: tuple[GradePart, ...]

    @property
    def score(self) -> float:
        """All points, rounded to a hundredth so that the same submission has the same score on any machine."""
        return round(sum(part.points for part in self.parts), 2)


class Judged(NamedTuple):
    """What a criterion came to: the share of its points, 0 to 1, and what was seen."""

    share: float
    seen: str


class Told(NamedTuple):
    """What a learner's folder holds of an instance: figures of the task, the record, and the files to begin with, texts by name."""

    task: dict[str, Any]
    readme: str
    """The task in words, Markdown, without a title."""
    record: Mapping[str, str]
    submit: Mapping[str, str]


class Chance(NamedTuple):
    """What guessing scores: the mean and the standard deviation of one guess, and where they come from."""

    mean: float
    deviation: float
    source: str


class NearMiss(NamedTuple):
    """An answer that is wrong in a known way, and the scores that it may get."""

    name: str
    submission: Submission
    least: float
    most: float


class Exercise(Protocol):
    """One exercise. An instance is a value that only the exercise knows; it follows from the dice."""

    @property
    def name(self) -> str:
        """As commands take it."""

    @property
    def title(self) -> str:
        """One line."""

    @property
    def version(self) -> int:
        """Another number whenever the same submission may score otherwise."""

    @property
    def minutes(self) -> int:
        """About how long a learner takes."""

    @property
    def needs(self) -> str:
        """A program that grading needs, empty where it needs none."""

    @property
    def chance(self) -> Chance:
        """What guessing scores."""

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files to hand in."""

    @property
    def most(self) -> Mapping[str, float]:
        """The criteria with their points, together 100."""

    @property
    def hints(self) -> Sequence[str]:
        """Steps towards the answer, one at a time."""

    def drawn(self, dice: Dice, *, practice: bool) -> Any:
        """Draw the figures of an instance, before anything is run or tried with them; no two learners have the same."""

    def draw(self, dice: Dice, *, practice: bool) -> Any:
        """Draw an instance."""

    def told(self, instance: Any) -> Told:
        """Say what goes into the learner's folder."""

    def problem(self, task: Mapping[str, Any], record: Mapping[str, str], submission: Submission) -> str | None:
        """Say the first thing that is wrong with the form of a submission (file, key, unit), None for none; the folder is all it knows.

        Every file is there, none is empty. Raises InputError where a file cannot be read, LackingError for what the machine lacks.
        """

    def judge(self, instance: Any, submission: Submission) -> Mapping[str, Judged]:
        """Judge a submission by every criterion; of several files some may be missing.

        Raises InputError where it cannot be read, LackingError for what the machine lacks.
        """

    def answers(self, instance: Any) -> Sequence[str]:
        """Return texts that stand in the answer and may stand nowhere in the learner's folder."""

    def oracle(self, instance: Any) -> Submission:
        """Return the right answer."""

    def guess(self, instance: Any, dice: Dice) -> Submission:
        """Return what somebody hands in who knows the form and nothing else."""

    def near_misses(self, instance: Any) -> Sequence[NearMiss]:
        """Return wrong answers of known scores."""
