"""Whether an exercise grades as it says: the oracle, nothing, guesses, other learners' answers, and its listed near misses."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean
from typing import Any, Final, NamedTuple

from marketsim.exercises.dice import Dice
from marketsim.exercises.exercise import Exercise
from marketsim.exercises.folder import draw_instance
from marketsim.exercises.judging import grade_submission

LEARNERS: Final = 8
_SIGMAS: Final = 3.0
Tell = Callable[[str], None]


class SelftestLine(NamedTuple):
    """One claim, what it expects and what was seen."""

    claim: str
    expected: str
    seen: str
    holds: bool


def selftest(
    exercise: Exercise, secret: bytes, learners: int = LEARNERS, guesses: int = 4, tell: Tell = lambda _: None
) -> list[SelftestLine]:
    """Try an exercise on the instances of some learners of a course.

    Each learner is graded with the oracle, nothing, every near miss, `guesses` guesses and one other learner's right answer. The mean of
    the guesses is to lie within three standard errors of chance, as the exercise states it, that of the copied answers no higher.
    """
    names = [f"learner-{number}" for number in range(learners)]
    instances = []
    for name in names:
        instances.append(draw_instance(exercise, name, secret))
        tell(f"drawn: {len(instances)} of {learners}")
    oracles = [exercise.oracle(instance) for instance in instances]

    def score(instance: Any, submission: Any) -> float:
        return grade_submission(exercise, instance, submission).score

    lines = [_all("oracle", [score(i, answer) for i, answer in zip(instances, oracles, strict=True)], 100.0, 100.0)]
    lines.append(_all("nothing handed in", [score(i, {}) for i in instances], 0.0, 0.0))
    tell("oracle and nothing: done")
    dice = [Dice.of(secret, f"{exercise.name}/guess", name) for name in names]
    guessed = [score(i, exercise.guess(i, die)) for i, die in zip(instances, dice, strict=True) for _ in range(guesses)]
    tell("guesses: done")
    lines.append(_like_chance(exercise, guessed))
    copied = [score(i, oracles[at - 1]) for at, i in enumerate(instances)]
    lines.append(_at_most_chance(exercise, copied))
    tell("copied answers: done")
    misses: dict[str, list[tuple[float, float, float]]] = {}
    for instance in instances:
        for miss in exercise.near_misses(instance):
            misses.setdefault(miss.name, []).append((score(instance, miss.submission), miss.least, miss.most))
        tell("near misses: one more learner done")
    for name, found in misses.items():
        lines.append(_all(name, [one for one, _, _ in found], found[0][1], found[0][2]))
    return lines


def _all(claim: str, scores: list[float], least: float, most: float) -> SelftestLine:
    expected = f"{least:g}" if least == most else f"{least:g} to {most:g}"
    low, high = min(scores), max(scores)
    seen = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
    return SelftestLine(claim, expected, f"{seen} in {len(scores)}", all(least <= score <= most for score in scores))


def _band(exercise: Exercise, count: int) -> float:
    return _SIGMAS * exercise.chance.deviation / math.sqrt(count)


def _like_chance(exercise: Exercise, scores: list[float]) -> SelftestLine:
    chance, band, mean = exercise.chance, _band(exercise, len(scores)), fmean(scores)
    return SelftestLine("guesses", f"{chance.mean:.2f} ± {band:.2f}", f"mean {mean:.2f} of {len(scores)}", abs(mean - chance.mean) <= band)


def _at_most_chance(exercise: Exercise, scores: list[float]) -> SelftestLine:
    most, mean = exercise.chance.mean + _band(exercise, len(scores)), fmean(scores)
    return SelftestLine("another learner's answer", f"at most {most:.2f}", f"mean {mean:.2f} of {len(scores)}", mean <= most)


def selftest_lines(lines: list[SelftestLine]) -> list[str]:
    """As a terminal shows them."""
    widths = [max(len(getattr(line, key)) for line in lines) for key in ("claim", "expected", "seen")]
    return [
        f"{'ok  ' if line.holds else 'NOT '}{line.claim:<{widths[0]}}  {line.expected:<{widths[1]}}  {line.seen:<{widths[2]}}".rstrip()
        for line in lines
    ]
