"""The SAM/CloudFormation template: read with line numbers, and expanded without asking AWS anything."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import TemplateError, UnsupportedError
from harness.project.files import write_atomically
from harness.project.settings import nearest

__all__ = ["ARTIFACT_BUCKET", "LocalCode", "Template", "expand"]

ARTIFACT_BUCKET = "HarnessArtifactBucket"
"""Parameter of every expanded template: the bucket that the bundle's artifacts have been uploaded to."""

_SERVERLESS = "AWS::Serverless-2016-10-31"

_SECTIONS = (
    *("AWSTemplateFormatVersion", "Transform", "Description", "Metadata", "Parameters", "Mappings"),
    *("Conditions", "Rules", "Globals", "Resources", "Outputs"),
)

_LOCAL_CODE = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
    "AWS::Serverless::StateMachine": "DefinitionUri",
}
"""The property that names a file or folder beside the template."""

_CLOUDFORMATION_CODE = {
    "AWS::Lambda::Function": "Code",
    "AWS::Lambda::LayerVersion": "Content",
    "AWS::StepFunctions::StateMachine": "DefinitionS3Location",
}
"""The same in plain CloudFormation, where `aws cloudformation package` allows a path, too."""

# PyYAML's parser in C is ten times as fast, where PyYAML was built with it.
_BaseLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BaseLoader):  # type: ignore[misc]
    """Composes nodes; `Template` makes the values."""


@dataclass(frozen=True)
class LocalCode:
    """A property of a resource that names a file or folder beside the template.

    Attributes:
        logical_id: The resource.
        type: Its type.
        property: The property.
        path: The file or folder.
        place: Where the template says so.
    """

    logical_id: str
    type: str
    property: str
    path: Path
    place: str


class Template:
    """The template as written.

    Attributes:
        file: Where it is.
        body: Its content, with short forms (``!Ref``) written out; not to be changed.
    """

    def __init__(self, file: Path) -> None:
        """Read the template.

        Raises:
            TemplateError: It is missing, not YAML or JSON, or not a template.
        """
        self.file = file
        self._lines: dict[tuple[str, ...], int] = {}
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise TemplateError(
                "there is no such file", file=file, hint="harness.toml names the template"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise TemplateError(f"cannot be read: {error}", file=file) from error
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else None
            raise TemplateError(f"not YAML: {error.problem or error}", file=file, place=place) from error
        except yaml.YAMLError as error:
            raise TemplateError(f"not YAML: {error}", file=file) from error
        if node is None:
            raise TemplateError("the template is empty", file=file)
        body = self._value(node, ())
        if not isinstance(body, dict):
            raise TemplateError("a template is a mapping with Resources", file=file, place="line 1")
        self.body: Mapping[str, Any] = body
        self._check()

    def place(self, *path: str) -> str:
        """``line 12, Resources.Train.Properties``: where the nearest enclosing thing stands."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return f"line {self._lines[path[:length]]}, {'.'.join(path)}"
        return ".".join(path)

    def resources(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """(logical id, type, properties) of each resource, in the template's order."""
        for logical_id, resource in self.body["Resources"].items():
            yield logical_id, resource["Type"], resource.get("Properties", {})

    def property(self, logical_id: str, name: str) -> Any:
        """A resource's property, or what Globals say for it; None when neither does."""
        resource = self.body["Resources"][logical_id]
        properties = resource.get("Properties", {})
        if name in properties:
            return properties[name]
        section = resource["Type"].rpartition("::")[2]
        return self.body.get("Globals", {}).get(section, {}).get(name)

    def parameter_names(self) -> list[str]:
        return list(self.body.get("Parameters", {}))

    def local_code(self) -> list[LocalCode]:
        """Everything in the template that is a file or folder of the project.

        Raises:
            TemplateError: A function, layer or state machine has no code, or its place is not plain text.
        """
        found = []
        for logical_id, kind, properties in self.resources():
            if properties.get("InlineCode") is not None or properties.get("PackageType") == "Image":
                continue
            for name in (_LOCAL_CODE.get(kind), _CLOUDFORMATION_CODE.get(kind)):
                value = self.property(logical_id, name) if name else None
                if isinstance(value, str):
                    place = self.place("Resources", logical_id, "Properties", name or "")
                    if value.startswith("s3://"):
                        raise UnsupportedError(
                            f"{logical_id} takes its code from {value}",
                            file=self.file,
                            place=place,
                            hint="what is replayed must be what is promoted, so code is part of the project",
                        )
                    found.append(LocalCode(logical_id, kind, name or "", self.file.parent / value, place))
            if kind == "AWS::Serverless::Function" and not self._has(logical_id, "CodeUri"):
                raise TemplateError(
                    f"function {logical_id} has no CodeUri",
                    file=self.file,
                    place=self.place("Resources", logical_id),
                )
        return found

    def with_artifacts(self, keys: Mapping[str, str]) -> dict[str, Any]:
        """A copy of the body in which local code is replaced by objects in the artifact bucket.

        Args:
            keys: Object keys by logical id.
        """
        body: dict[str, Any] = json.loads(json.dumps(self.body))
        bucket = {"Ref": ARTIFACT_BUCKET}
        for code in self.local_code():
            resource = body["Resources"][code.logical_id]
            key = keys[code.logical_id]
            serverless = code.type in _LOCAL_CODE or code.property == "DefinitionS3Location"
            location = {"Bucket": bucket, "Key": key} if serverless else {"S3Bucket": bucket, "S3Key": key}
            resource.setdefault("Properties", {})[code.property] = location
        if keys:
            body.setdefault("Parameters", {})[ARTIFACT_BUCKET] = {
                "Type": "String",
                "Description": "Bucket with the artifacts of the bundle.",
            }
        return body

    # Reading -----------------------------------------------------------------------------------------

    def _has(self, logical_id: str, name: str) -> bool:
        return self.property(logical_id, name) is not None

    def _fail(self, node: yaml.Node, message: str, hint: str | None = None) -> TemplateError:
        mark = node.start_mark
        return TemplateError(
            message, file=self.file, place=f"line {mark.line + 1}, column {mark.column + 1}", hint=hint
        )

    def _value(self, node: yaml.Node, path: tuple[str, ...]) -> Any:
        """A node as JSON. CloudFormation reads YAML 1.1 scalars, but dates stay text."""
        if len(path) <= 4:  # down to a resource's properties; messages need no finer places
            self._lines.setdefault(path, node.start_mark.line + 1)
        tag = node.tag
        if tag.startswith("!") and tag != "!":
            return self._short_form(node, tag[1:], path)
        if isinstance(node, yaml.MappingNode):
            mapping: dict[str, Any] = {}
            for key_node, value_node in node.value:
                if not isinstance(key_node, yaml.ScalarNode):
                    raise self._fail(key_node, "a key must be text")
                key = str(key_node.value)
                if key_node.tag == "tag:yaml.org,2002:merge":
                    raise self._fail(key_node, "CloudFormation knows no merge keys (<<)")
                if key in mapping:
                    raise self._fail(key_node, f"{key} is here twice")
                inner = (*path, key)
                mapping[key] = self._value(value_node, inner)
                self._lines[inner] = key_node.start_mark.line + 1
            return mapping
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, str(number))) for number, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)  # YAML has no fourth kind
        if tag == "tag:yaml.org,2002:timestamp":  # as in AWSTemplateFormatVersion: 2010-09-09
            return node.value
        try:
            value = yaml.SafeLoader.construct_object(_CONSTRUCTOR, node)
        except (yaml.YAMLError, ValueError) as error:
            raise self._fail(node, f"{node.value!r} cannot be read: {error}") from error
        if not isinstance(value, str | int | float | bool | None):
            raise self._fail(node, f"a value of the kind {tag} has no place in a template")
        return value

    def _short_form(self, node: yaml.Node, name: str, path: tuple[str, ...]) -> dict[str, Any]:
        """``!Ref X`` is ``{"Ref": "X"}``; ``!GetAtt A.B`` is ``{"Fn::GetAtt": ["A", "B"]}``."""
        untagged: yaml.Node
        if isinstance(node, yaml.ScalarNode):
            value: Any = node.value
        else:
            kind = "map" if isinstance(node, yaml.MappingNode) else "seq"
            untagged = type(node)(f"tag:yaml.org,2002:{kind}", node.value, node.start_mark, node.end_mark)
            value = self._value(untagged, path)
        if name in ("Ref", "Condition"):
            return {name: value}
        if name == "GetAtt" and isinstance(value, str):
            resource, dot, attribute = value.partition(".")
            if not dot:
                raise self._fail(
                    node, f"!GetAtt {value} names no attribute", f"write !GetAtt {value}.Arn, say"
                )
            return {"Fn::GetAtt": [resource, attribute]}
        return {f"Fn::{name}": value}

    def _check(self) -> None:
        for section in self.body:
            if section not in _SECTIONS:
                raise TemplateError(
                    f"unknown section {section}",
                    file=self.file,
                    place=self.place(section),
                    hint=nearest(section, _SECTIONS),
                )
        transform = self.body.get("Transform", [])
        for name in transform if isinstance(transform, list) else [transform]:
            if name != _SERVERLESS:
                raise UnsupportedError(
                    f"the transform {name} cannot be expanded locally",
                    file=self.file,
                    place=self.place("Transform"),
                    hint=f"only {_SERVERLESS} can",
                )
        if "Rules" in self.body:
            raise UnsupportedError(
                "Rules are not supported", file=self.file, place=self.place("Rules"), hint="use AllowedValues"
            )
        resources = self.body.get("Resources")
        if not isinstance(resources, dict) or not resources:
            raise TemplateError(
                "the template has no Resources", file=self.file, place=self.place("Resources")
            )
        for section in ("Parameters", "Mappings", "Conditions", "Outputs", "Globals"):
            if not isinstance(self.body.get(section, {}), dict):
                raise TemplateError(f"{section} must be a mapping", file=self.file, place=self.place(section))
        for logical_id, resource in resources.items():
            place = self.place("Resources", logical_id)
            if not re.fullmatch(r"[a-zA-Z0-9]+", logical_id):
                raise TemplateError(
                    f"{logical_id} is not a logical id",
                    file=self.file,
                    place=place,
                    hint="letters and digits only",
                )
            if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
                raise TemplateError(f"{logical_id} has no Type", file=self.file, place=place)
            if not isinstance(resource.get("Properties", {}), dict):
                raise TemplateError(
                    f"Properties of {logical_id} must be a mapping", file=self.file, place=place
                )


_CONSTRUCTOR = yaml.SafeLoader("")


def expansion_key(body: Mapping[str, Any], region: str) -> str:
    """SHA-256, in hex, of everything that decides what `expand` returns."""
    version = importlib.metadata.version("aws-sam-translator")
    what = json.dumps(["expansion 1", version, region, body], sort_keys=True)
    return hashlib.sha256(what.encode()).hexdigest()


def expand(template: Template, body: Mapping[str, Any], region: str, cache: Path) -> dict[str, Any]:
    """Replace the SAM resources by CloudFormation's own.

    Args:
        template: The template, for messages.
        body: What to expand: `Template.with_artifacts`.
        region: Decides the partition in the ARNs of AWS's managed policies.
        cache: Folder for results. Importing the translator takes a second, so that matters.

    Raises:
        TemplateError: The translator refuses the template.
        UnsupportedError: The template has nested applications, which live in AWS.
    """
    if "Transform" not in body:
        return dict(body)
    stored = cache / f"{expansion_key(body, region)}.json"
    if stored.exists():
        try:
            return dict(json.loads(stored.read_bytes()))
        except ValueError:
            stored.unlink()  # cut short by a crash of the machine; make it again
    for logical_id, resource in body["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Application":
            raise UnsupportedError(
                f"{logical_id} is a nested application, which only AWS can expand",
                file=template.file,
                place=template.place("Resources", logical_id),
            )
    expanded = _translate(template, body, region)
    write_atomically(stored, json.dumps(expanded).encode())
    return expanded


def _translate(template: Template, body: Mapping[str, Any], region: str) -> dict[str, Any]:
    import boto3  # type: ignore[import-untyped]
    from samtranslator.metrics.metrics import Metrics
    from samtranslator.model.exceptions import ExceptionWithMessage, InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    # The session only says the region; the translator knows AWS's managed policies by itself.
    session, metrics = boto3.Session(region_name=region), Metrics()
    translator = Translator(None, Parser(), boto_session=session, metrics=metrics)
    try:
        return dict(translator.translate(json.loads(json.dumps(body)), {}))
    except InvalidDocumentException as error:
        problems = [cause.message for cause in error.causes] or [error.message]
        raise _refused(template, problems) from error
    except ExceptionWithMessage as error:
        raise _refused(template, [error.message]) from error
    finally:
        metrics.publish()  # to nobody; without it the translator complains in the log


def _refused(template: Template, problems: list[str]) -> TemplateError:
    """The translator names resources in its messages: ``Resource with id [X] is invalid. ...``."""
    named = re.search(r"with id \[(\w+)\]", problems[0])
    place = template.place("Resources", named[1]) if named else None
    return TemplateError("; ".join(problems), file=template.file, place=place)
