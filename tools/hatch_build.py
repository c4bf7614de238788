"""The build hook of the wheel: makes the man pages, which pip then puts into share/man of the environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface  # type: ignore[import-not-found,unused-ignore]


class ManPages(BuildHookInterface):  # type: ignore[misc,unused-ignore]
    """Found by hatchling, which calls `initialize` before it builds."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the pages to a wheel; not to an editable one, where they would soon be wrong."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        try:
            from tools.manpages import write
        except ImportError as error:  # --no-build-isolation without Typer
            self.app.display_warning(f"no man pages are built: {error}")
            return
        finally:
            sys.path.remove(self.root)
        for path in write(Path(self.root) / "build" / "man"):
            build_data["shared_data"][str(path)] = f"share/man/{path.parent.name}/{path.name}"
