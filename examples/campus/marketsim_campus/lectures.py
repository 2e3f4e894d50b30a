"""Demand: students order when lectures begin."""


class Lectures:
    """Orders in the quarter of an hour after each lecture begins, on working days; a few projects run longer and ask for more."""

    def __init__(self, per_lecture=6.0, begins=(8, 10, 14, 16), projects=0.2):
        self.per_lecture = per_lecture
        self.begins = tuple(begins)
        self.projects = projects

    def orders(self, day, rng):
        if day.start.weekday() >= 5:
            return {"at_seconds": []}
        counts = rng.poisson(self.per_lecture, len(self.begins))
        hours = [begin for begin, count in zip(self.begins, counts, strict=True) for _ in range(count)]
        at = [3600 * hour + 900 * rng.random() for hour in hours]
        is_project = rng.random(len(at)) < self.projects
        return {
            "at_seconds": at,
            "cpu": [4000 if project else 1000 for project in is_project],
            "duration_seconds": [36_000 if project else 5_400 for project in is_project],
        }
