"""A class that a scenario names; validating it runs none of this."""

raise RuntimeError("this module was imported")


class Prices:
    """A strategy that is never built."""
