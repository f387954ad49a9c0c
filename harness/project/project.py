"""A project: a folder with a harness.toml."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SettingsError
from harness.project.bundle import Bundle
from harness.project.settings import FILE_NAME, Settings

__all__ = ["Progress", "Project"]

Progress = Callable[[str], object]
"""Called with a short line about what is being done."""


@dataclass(frozen=True)
class Project:
    """A project.

    Attributes:
        root: Its folder.
        settings: Its harness.toml.
    """

    root: Path
    settings: Settings

    @classmethod
    def load(cls, start: Path | None = None) -> Project:
        """The project that a folder is in: harness.toml is looked for there and in the folders above.

        Args:
            start: Where to begin; the current folder when None.

        Raises:
            SettingsError: There is no harness.toml, or something is wrong in it.
        """
        folder = (start or Path.cwd()).resolve()
        for candidate in (folder, *folder.parents):
            if (candidate / FILE_NAME).exists():
                return cls(candidate, Settings.load(candidate / FILE_NAME))
        raise SettingsError(
            f"there is no {FILE_NAME} in {folder} or above it",
            hint="a project is a folder with a harness.toml; run the command inside one",
        )

    @property
    def state(self) -> Path:
        """The folder that everything the harness makes for this project goes into."""
        return self.root / ".harness"

    @property
    def template(self) -> Path:
        """The template."""
        return self.root / self.settings.template

    def build(self, on_progress: Progress = lambda line: None) -> Bundle:
        """Build the bundle, or find the one built before from the same content.

        Raises:
            InputError: Something in the project is missing or wrong.
            UnsupportedError: The project has something the harness does not support.
            EnvironmentFault: Packages cannot be downloaded.
        """
        from harness.project.build import Build  # what it imports is not needed to open a bundle

        return Build(self.root, self.settings, self.state, on_progress).run()
