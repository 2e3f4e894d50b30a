"""Puts the shipped scenarios into the package that is built: they stand in `scenarios/`, outside of it, where people look for them."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

KINDS = {".yaml", ".csv", ".sh"}


class BuildWithScenarios(build_py):
    """Builds the package with `marketsim/shipped/` and the JSON Schemas in `marketsim/shipped/schema/`."""

    def run(self) -> None:
        """Build as always, then copy what is shipped; an editable installation reads it where it stands."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "marketsim" / "shipped"
        for file in sorted(Path("scenarios").rglob("*")):
            if file.is_file() and file.suffix in KINDS:
                place = target / file.relative_to("scenarios")
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)


setup(cmdclass={"build_py": BuildWithScenarios})
