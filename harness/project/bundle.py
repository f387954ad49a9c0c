"""The bundle: everything that will run, as files that are named by what is in them.

    .harness/bundles/<id>/
        manifest.json         what is in the bundle
        template.json         the expanded template
        functions/<digest>.zip, layers/<digest>.zip, definitions/<digest>.json
        images/<digest>.tar   build contexts

The paths below ``functions``, ``layers`` and ``definitions`` are also the keys that the template expects in
the artifact bucket. The id is the SHA-256 of the manifest, which has the digest of every file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import InputError
from harness.project.archive import file_digest
from harness.project.definitions import substitute
from harness.project.resolve import ResolvedStack, Resource, Stack
from harness.project.template import ARTIFACT_BUCKET

__all__ = ["Artifact", "Bundle", "Contents", "ImageContext", "resolve"]

FORMAT = 1


@dataclass(frozen=True)
class Artifact:
    """A file that the template refers to.

    Attributes:
        key: Path in the bundle, and key in the artifact bucket.
        digest: SHA-256, in hex.
        size: Bytes.
    """

    key: str
    digest: str
    size: int


@dataclass(frozen=True)
class ImageContext:
    """What an image is built from.

    Attributes:
        name: As in harness.toml.
        path: The build context in the bundle: a tar.
        dockerfile: Path inside the context.
        build_args: Values for ARG instructions.
        parameter: The template parameter that receives the image's URI.
        digest: SHA-256, in hex, over all of that except the parameter.
        context_digest: SHA-256, in hex, of the tar.
    """

    name: str
    path: str
    dockerfile: str
    build_args: Mapping[str, str]
    parameter: str
    digest: str
    context_digest: str

    def uri(self, account: str, region: str) -> str:
        """The image by its digest, in the account's registry."""
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return f"{account}.dkr.ecr.{region}.{suffix}/{self.name}@sha256:{self.digest}"


@dataclass(frozen=True)
class Contents:
    """What the manifest says.

    Attributes:
        template_file: The template that the project wrote, relative to the project; for messages.
        template_digest: SHA-256, in hex, of template.json.
        artifacts: By logical id of the function, layer or state machine.
        images: By name.
        warnings: Where the bundle is not what would run on AWS.
    """

    template_file: str
    template_digest: str
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    images: Mapping[str, ImageContext] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def as_json(self) -> bytes:
        document = {"format": FORMAT, **asdict(self)}
        return json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"

    @property
    def id(self) -> str:
        """The bundle's id."""
        return hashlib.sha256(self.as_json()).hexdigest()

    @classmethod
    def from_json(cls, text: bytes, file: Path) -> Contents:
        try:
            document = json.loads(text)
            version = document.pop("format")
            if version != FORMAT:
                raise InputError(
                    f"the bundle has format {version}, this harness reads {FORMAT}",
                    file=file,
                    hint="build it again",
                )
            document["artifacts"] = {name: Artifact(**item) for name, item in document["artifacts"].items()}
            document["images"] = {name: ImageContext(**item) for name, item in document["images"].items()}
            document["warnings"] = tuple(document["warnings"])
            return cls(**document)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"not the manifest of a bundle: {error}", file=file) from error


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk, every file of it verified.

    Attributes:
        id: SHA-256, in hex.
        path: Its folder.
        contents: What is in it.
        template: The expanded template; not to be changed.
    """

    id: str
    path: Path
    contents: Contents
    template: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """Open a bundle.

        Raises:
            InputError: It is not a bundle, or a file of it is missing or has changed.
        """
        manifest = path / "manifest.json"
        try:
            text = manifest.read_bytes()
        except OSError as error:
            raise InputError(
                "there is no bundle here", file=path, hint="make one with `harness build`"
            ) from error
        bundle_id = hashlib.sha256(text).hexdigest()
        if bundle_id != path.name:
            raise InputError(
                "the manifest has changed since the bundle was built", file=manifest, hint=_REBUILD
            )
        contents = Contents.from_json(text, manifest)
        expected = {"template.json": contents.template_digest}
        expected |= {artifact.key: artifact.digest for artifact in contents.artifacts.values()}
        expected |= {image.path: image.context_digest for image in contents.images.values()}
        for name, digest in sorted(expected.items()):
            try:
                actual = file_digest(path / name)
            except OSError as error:
                raise InputError(
                    "a file of the bundle is missing", file=path / name, hint=_REBUILD
                ) from error
            if actual != digest:
                raise InputError(
                    "a file of the bundle has changed since it was built", file=path / name, hint=_REBUILD
                )
        return cls(bundle_id, path, contents, json.loads((path / "template.json").read_bytes()))

    @classmethod
    def store(cls, folder: Path, contents: Contents, files: Mapping[str, Path | bytes]) -> Bundle:
        """Write a bundle into `folder`/<id>, all at once, and open it.

        Args:
            folder: Where bundles lie.
            contents: What is in it.
            files: Where its files are now, or what is in them, by path in the bundle.
        """
        target = folder / contents.id
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".new-"))
        try:
            for name, source in files.items():
                path = temporary / PurePosixPath(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(source, bytes):
                    path.write_bytes(source)
                else:
                    _link_or_copy(source, path)
            (temporary / "manifest.json").write_bytes(contents.as_json())
            temporary.chmod(0o755)
            try:
                return cls.load(target)  # the same content was built before, or by somebody else just now
            except InputError:
                shutil.rmtree(target, ignore_errors=True)
            temporary.rename(target)
            return cls.load(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where the bundle is not what would run on AWS."""
        return self.contents.warnings

    @property
    def images(self) -> Mapping[str, ImageContext]:
        """What the images are built from, by name."""
        return self.contents.images

    @property
    def artifacts(self) -> Mapping[str, Artifact]:
        """Zips and definitions, by logical id of the function, layer or state machine."""
        return self.contents.artifacts

    def file(self, key: str) -> Path:
        """The file that the template knows by an S3 key, or an image's build context by its path."""
        return self.path / PurePosixPath(key)

    def definition(self, machine: Resource) -> str:
        """The definition of a state machine of this bundle, with substitutions done.

        Args:
            machine: A resource of the type AWS::StepFunctions::StateMachine, resolved.
        """
        properties = machine.properties
        if "DefinitionS3Location" in properties:
            text = self.file(properties["DefinitionS3Location"]["Key"]).read_text(encoding="utf-8")
        elif "DefinitionString" in properties:
            text = properties["DefinitionString"]
        else:
            text = json.dumps(properties["Definition"])
        return substitute(text, properties.get("DefinitionSubstitutions", {}))

    def stack(
        self, *, parameters: Mapping[str, str], account: str, region: str, stack: str = "harness"
    ) -> Stack:
        """The template with parameter values, to be evaluated resource by resource.

        Args:
            parameters: By name. Those that receive images, and the artifact bucket, need none.
            account: Twelve digits.
            region: e.g. ``us-east-1``.
            stack: Name of the stack.

        Raises:
            TemplateError: The template or a value is wrong.
            UnsupportedError: The template has something that is not supported.
        """
        declared = self.template.get("Parameters", {})
        values = {image.parameter: image.uri(account, region) for image in self.images.values()}
        if ARTIFACT_BUCKET in declared:
            values[ARTIFACT_BUCKET] = f"harness-artifacts-{account}-{region}"
        return Stack(
            self.template,
            file=Path(self.contents.template_file),
            parameters={**values, **parameters},
            account=account,
            region=region,
            stack=stack,
        )


_REBUILD = "remove the folder and build again"


def resolve(
    bundle: Bundle, *, parameters: Mapping[str, str], account: str, region: str, stack: str = "harness"
) -> ResolvedStack:
    """The resources that a bundle becomes, in an order in which they can be created. See `Bundle.stack`."""
    return bundle.stack(parameters=parameters, account=account, region=region, stack=stack).resolve()


def _link_or_copy(source: Path, target: Path) -> None:
    """A hard link costs nothing; another file system needs a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
