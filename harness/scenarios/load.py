"""Scenario files: finding them and reading them, strictly.

Every mistake is a `ScenarioError` with file, ``line:column`` and what to do about it. Names that only a
deployed pipeline knows (states, functions, outputs) are checked when the scenario is replayed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

from harness.errors import ScenarioError, UnsupportedError
from harness.project.settings import FILE_NAME, Settings
from harness.scenarios import faultrules, matchers
from harness.scenarios.model import ContainerChoice, Data, Endpoint, Expect, Objects, Scenario, Status
from harness.scenarios.yamlfile import Value, parse, suggestion

__all__ = ["find", "folder", "load", "parse_scenario"]

_KEYS = ("name", "machine", "input", "data", "containers", "faults", "expect", "executions")
_EXPECT = ("status", "error", "cause", "path", "output", "endpoint", "endpoints", "objects", "retries")
_NOT_YET = {
    "stub": "a stub has no container whose work could be checked, and cannot be described in a scenario yet",
}
_CONTENT_TYPES = {
    ".csv": "text/csv",
    ".jpeg": "application/x-image",
    ".jpg": "application/x-image",
    ".json": "application/json",
    ".png": "application/x-image",
}


def folder(root: Path) -> Path:
    """Where a project keeps its scenarios.

    Raises:
        SettingsError: harness.toml is missing or wrong.
        UnsupportedError: Its default for containers is not there yet.
    """
    settings = Settings.load(root / FILE_NAME)
    _refuse_containers(settings.scenarios.containers, settings.file, "[scenarios] containers")
    return root / settings.scenarios.folder


def find(folder: Path, names: Sequence[str] = ()) -> list[Path]:
    """The scenario files meant by `names`: paths, or names of files in `folder`; all of its files for none.

    Raises:
        ScenarioError: There is no such scenario, or none at all.
    """
    shipped = sorted(path for path in folder.glob("*.y*ml") if path.suffix in (".yaml", ".yml"))
    if not names:
        if not shipped:
            raise ScenarioError(
                "there is no scenario here", file=folder, hint="add a file such as happy.yaml"
            )
        return shipped
    by_name = {path.stem: path for path in shipped}
    found = []
    for name in names:
        path = Path(name)
        if path.is_file():
            found.append(path)
        elif name in by_name:
            found.append(by_name[name])
        else:
            looks_like_path = path.suffix in (".yaml", ".yml") or "/" in name
            known = [os.path.relpath(file) for file in shipped] if looks_like_path else list(by_name)
            hint = suggestion(name, known) or f"scenarios here: {', '.join(by_name) or 'none'}"
            raise ScenarioError("there is no such scenario", file=name, hint=hint)
    return list(dict.fromkeys(path.resolve() for path in found))


def load(path: Path) -> Scenario:
    """Read a scenario file.

    Raises:
        ScenarioError: It is missing or wrong.
        UnsupportedError: It asks for something that is not there yet.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ScenarioError("there is no such file", file=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"cannot be read: {error}", file=path) from error
    return parse_scenario(text, path)


def parse_scenario(text: str, file: Path) -> Scenario:
    """As `load`, from text; paths in it are relative to `file`."""
    document = parse(text, file)
    fields = document.fields(_KEYS, required=("name",))
    places = {name: value.place for name, value in fields.items()}
    expect = Expect()
    if "expect" in fields:
        expect = _expect(fields["expect"], places)
    return Scenario(
        name=fields["name"].text(),
        file=file,
        machine=fields["machine"].text() if "machine" in fields else None,
        input=_input(fields["input"]) if "input" in fields else {},
        data=tuple(_data(key, value) for key, value in fields["data"].items()) if "data" in fields else (),
        containers=_containers(fields["containers"]) if "containers" in fields else "auto",
        faults=tuple(map(faultrules.read, fields["faults"].elements())) if "faults" in fields else (),
        expect=expect,
        executions=fields["executions"].integer(1, 100) if "executions" in fields else 1,
        places=places,
    )


def _containers(value: Value) -> ContainerChoice:
    chosen = value.choice((*get_args(ContainerChoice), *_NOT_YET))
    _refuse_containers(chosen, value.file, value.place)
    return cast("ContainerChoice", chosen)


def _refuse_containers(chosen: str, file: Path, place: str) -> None:
    if chosen in _NOT_YET:
        raise UnsupportedError(
            f"containers: {chosen} is not supported yet: {_NOT_YET[chosen]}",
            file=file,
            place=place,
            hint="write auto, or leave it out",
        )


def _local(value: Value) -> Path:
    """A path beside the scenario file that must be there."""
    path = value.file.parent / value.text()
    if not path.exists():
        value.fail(f"there is no {path}", "paths are relative to the scenario's own folder")
    return path


def _input(value: Value) -> object:
    """The input itself, or the name of a JSON file that holds it."""
    inline = value.json()
    if not isinstance(inline, str):
        return inline
    path = _local(value)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        value.fail(f"{path} is not a JSON file: {error}")


def _bucket_uri(value: Value) -> str:
    uri = value.key()
    bucket, slash, _ = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket or not slash:
        value.fail(
            f"{uri!r} is not an S3 address", "write s3://bucket/prefix/ or s3://{BucketOutput}/prefix/"
        )
    return uri


def _data(key: Value, value: Value) -> Data:
    uri, source = _bucket_uri(key), _local(value)
    if source.is_dir() and not uri.endswith("/"):
        key.fail(f"{value.text()} is a folder, but {uri} is not a prefix", "end the address with '/'")
    return Data(uri, source, key.place)


def _expect(value: Value, places: dict[str, str]) -> Expect:
    fields = value.fields(_EXPECT)
    places |= {f"expect.{name}": inner.place for name, inner in fields.items()}
    if "error" in fields or "cause" in fields:
        status = fields["status"].text() if "status" in fields else "SUCCEEDED"
        if status == "SUCCEEDED":
            culprit = fields.get("error") or fields["cause"]
            culprit.fail("a run that SUCCEEDED has no error and no cause", "set status: FAILED")
    if "output" in fields and "status" in fields and fields["status"].text() != "SUCCEEDED":
        fields["output"].fail("only a run that SUCCEEDED has an output")
    if "endpoint" in fields and "endpoints" in fields and fields["endpoints"].json() == "none":
        fields["endpoint"].fail("an endpoint cannot answer when there are to be none")
    status = fields["status"].choice(get_args(Status)) if "status" in fields else "SUCCEEDED"
    return Expect(
        status=status,  # type: ignore[arg-type]  # one of Status, as just checked
        error=matchers.read(fields["error"]) if "error" in fields else None,
        cause=matchers.read(fields["cause"]) if "cause" in fields else None,
        path=_path(fields["path"]) if "path" in fields else None,
        output=matchers.read(fields["output"]) if "output" in fields else None,
        endpoint=_endpoint(fields["endpoint"]) if "endpoint" in fields else None,
        endpoints=_count(fields["endpoints"]) if "endpoints" in fields else None,
        objects=_objects(fields["objects"]) if "objects" in fields else (),
        retries=_retries(fields["retries"]) if "retries" in fields else {},
    )


def _path(value: Value) -> tuple[str, ...]:
    states = tuple(element.text() for element in value.elements())
    if not states:
        value.fail("the path is empty", "name the states the run enters; '...' stands for any run of them")
    return states


def _retries(value: Value) -> dict[str, int]:
    return {state.key(): count.integer(0) for state, count in value.items()}


def _count(value: Value) -> matchers.Matcher:
    """``none``, a number, or a matcher of a number."""
    plain = value.json()
    if plain == "none":
        return matchers.exactly(0)
    if isinstance(plain, str) or plain is None or isinstance(plain, bool) or value.is_list:
        value.mismatch("'none', a number, or a matcher such as {gte: 1}")
    return matchers.read(value)


def _objects(value: Value) -> tuple[Objects, ...]:
    return tuple(Objects(_bucket_uri(key), _presence(wanted), key.place) for key, wanted in value.items())


def _presence(value: Value) -> matchers.Matcher:
    """``present``, ``absent``, or ``{count: ...}``."""
    if value.is_mapping:
        return _count(value.fields(("count",), required=("count",))["count"])
    if value.choice(("present", "absent")) == "absent":
        return matchers.exactly(0)
    return matchers.at_least(1)


def _endpoint(value: Value) -> Endpoint:
    fields = value.fields(("send", "content_type", "class", "response"), required=("send",))
    send = _local(fields["send"])
    if not send.is_file():
        fields["send"].fail(f"{send} is not a file")
    if "content_type" in fields:
        content_type = fields["content_type"].text()
    elif send.suffix.lower() in _CONTENT_TYPES:
        content_type = _CONTENT_TYPES[send.suffix.lower()]
    else:
        value.fail(f"the content type of {send.name} is not known", "add content_type: to the endpoint")
    if ("class" in fields) == ("response" in fields):
        value.fail("expect.endpoint must have exactly one of class, response")
    if "class" in fields:
        label = fields["class"].text()
        response = matchers.under(("predictions", "class"), matchers.exactly(label))
    else:
        response = matchers.read(fields["response"])
    return Endpoint(send, content_type, response, value.place)
