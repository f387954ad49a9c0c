from __future__ import annotations

import pytest

from harness.project.archive import read_tree
from harness.project.dockerignore import ignored

FILES = [
    "Dockerfile",
    "a.md",
    "README.md",
    "docs/x.md",
    "docs/deep/y.txt",
    "src/main.py",
    "src/secret.key",
    "temp1/f",
]


def sent(folder, rules):
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (folder / ".dockerignore").write_text(rules)
    return set(read_tree(folder, skip=ignored(folder))) - {".dockerignore"}


@pytest.mark.parametrize(
    ("rules", "left_out"),
    [
        ("", set()),
        ("# a comment\n\n", set()),
        ("docs", {"docs/x.md", "docs/deep/y.txt"}),
        ("/docs/", {"docs/x.md", "docs/deep/y.txt"}),
        ("*.md", {"a.md", "README.md"}),
        ("**/*.md", {"a.md", "README.md", "docs/x.md"}),
        ("*.md\n!README.md", {"a.md"}),
        ("!README.md\n*.md", {"a.md", "README.md"}),
        ("docs/**\n!docs/deep/y.txt", {"docs/x.md"}),
        ("docs\n!docs/x.md", {"docs/deep/y.txt"}),
        ("temp?", {"temp1/f"}),
        ("temp[0-3]", {"temp1/f"}),
        ("temp[^1]", set()),
        ("*/*.key", {"src/secret.key"}),
        ("*/y.txt", set()),
        ("**/y.txt", {"docs/deep/y.txt"}),
        ("md", set()),
    ],
)
def test_rules(tmp_path, rules, left_out):
    assert sent(tmp_path, rules) == set(FILES) - left_out


def test_without_a_file_everything_is_sent(tmp_path):
    (tmp_path / "Dockerfile").write_text("")
    assert set(read_tree(tmp_path, skip=ignored(tmp_path))) == {"Dockerfile"}
