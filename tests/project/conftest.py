from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

TEMPLATE = """\
Transform: AWS::Serverless-2016-10-31
Parameters:
  WorkerImage: {Type: String}
  Greeting: {Type: String, Default: hello}
Globals:
  Function: {Runtime: python3.12, Handler: app.handler}
Resources:
  Greet:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: ../lambdas/greet
      Role: !GetAtt Role.Arn
      Environment: {Variables: {GREETING: !Ref Greeting, IMAGE: !Ref WorkerImage}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {Version: "2012-10-17", Statement: []}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: machine.asl.json
      DefinitionSubstitutions: {GreetArn: !GetAtt Greet.Arn}
      Role: !GetAtt Role.Arn
Outputs:
  Machine: {Value: !Ref Machine}
"""

MACHINE = """\
{
  "StartAt": "Greet",
  "States": {
    "Greet": {"Type": "Task", "Resource": "${GreetArn}", "End": true}
  }
}
"""

SETTINGS = """\
template = "definitions/template.yaml"

[images.worker]
context = "containers/worker"
parameter = "WorkerImage"
"""

FILES = {
    "harness.toml": SETTINGS,
    "definitions/template.yaml": TEMPLATE,
    "definitions/machine.asl.json": MACHINE,
    "lambdas/greet/app.py": "def handler(event, context):\n    return 'hello'\n",
    "lambdas/greet/data/words.txt": "hello\n",
    "containers/worker/Dockerfile": "FROM scratch\nCOPY main.py /main.py\n",
    "containers/worker/main.py": "print('work')\n",
}

MakeProject = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken from the user's cache, and nothing left in it."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def make_project(tmp_path: Path) -> MakeProject:
    """Write a small project; files can be replaced, added, or (None) left out."""

    def make(where: str = "project", changes: dict[str, str | None] | None = None) -> Path:
        root = tmp_path / where
        for name, content in {**FILES, **(changes or {})}.items():
            if content is not None:
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        return root

    return make


@pytest.fixture
def wheels(tmp_path: Path) -> Callable[..., str]:
    """Make wheels in a folder; returns lines for a requirements.txt that looks there, and only there."""
    folder = tmp_path / "wheels"
    folder.mkdir()

    def make(
        name: str, version: str = "1.0", requires: tuple[str, ...] = (), tag: str = "py3-none-any"
    ) -> str:
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += "".join(f"Requires-Dist: {other}\n" for other in requires)
        files = {
            f"{name}/__init__.py": f"VERSION = {version!r}\n",
            f"{info}/METADATA": metadata,
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
            f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
        }
        files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
        with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as wheel:
            for path, content in files.items():
                wheel.writestr(path, content)
        return f"--no-index\n--find-links {json.dumps(str(folder))[1:-1]}\n"

    return make
