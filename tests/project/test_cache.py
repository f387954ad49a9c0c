from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness.project.cache import cache_folder, locked


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HARNESS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path.resolve() / ".cache/harness"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path.resolve() / "x/harness"
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "y"))
    assert cache_folder() == tmp_path.resolve() / "y"


def test_an_item_is_made_by_one_at_a_time(tmp_path: Path) -> None:
    made: list[str] = []

    def make() -> None:
        with locked(tmp_path / "kind", "key") as folder:
            if not folder.exists():
                made.append("begun")
                folder.mkdir()
                made.append("done")

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["begun", "done"]
