"""How a project becomes a bundle.

Everything is cached by content, never by time: the artifact of a function, layer or definition by what is in
its folder and the packages it asks for; the expanded template by the template; the bundle by all of these.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import DockerfileError, InputError, SettingsError, TemplateError, UnsupportedError
from harness.project.archive import Member, Tree, file_digest, read_tree, tree_digest, write_tar, write_zip
from harness.project.bundle import FORMAT, Artifact, Bundle, Contents, ImageContext
from harness.project.cache import cache_folder
from harness.project.definitions import check_definition, read_definition
from harness.project.dockerignore import ignored
from harness.project.files import atomic_file, write_atomically
from harness.project.interpreters import PackageTarget, package_target
from harness.project.layers import installed, requirements_key, unpinned
from harness.project.project import Progress
from harness.project.resolve import Stack
from harness.project.settings import ImageSettings, Settings, nearest
from harness.project.template import ARTIFACT_BUCKET, LocalCode, Template, expand

__all__ = ["Build"]

_REGION = "us-east-1"
"""Where the template is expanded for. It decides nothing but the partition of AWS's managed policies."""

_ACCOUNT = "123456789012"


@dataclass(frozen=True)
class _Part:
    """A function, layer or definition as it stands in the project.

    Attributes:
        code: Where the template names it.
        folder: Folder of the bundle it goes to.
        tree: Its own files.
        prefix: Where its files go in the archive.
        requirements: Its requirements.txt, if it has one.
        target: What its packages are for.
        declared: What the template says they are for, e.g. ``python3.12 on x86_64``.
        key: SHA-256, in hex, of everything that decides what its artifact contains.
    """

    code: LocalCode
    folder: str
    tree: Tree
    prefix: str
    requirements: Path | None
    target: PackageTarget | None
    declared: str
    key: str


@dataclass(frozen=True)
class _Context:
    """An image's build context as it stands in the project."""

    name: str
    settings: ImageSettings
    tree: Tree
    key: str


class Build:
    """One build of a project's bundle."""

    def __init__(self, root: Path, settings: Settings, state: Path, on_progress: Progress) -> None:
        self._root = root
        self._settings = settings
        self._cache = state / "cache"
        self._bundles = state / "bundles"
        self._progress = on_progress

    def run(self) -> Bundle:
        """Build; see `Project.build`."""
        template = Template(self._root / self._settings.template)
        contexts = [self._context(name, image, template) for name, image in self._settings.images.items()]
        parts = [self._part(code, template) for code in template.local_code()]
        index = self._cache / "bundles" / self._key(template, parts, contexts)
        known = self._known(index)
        if known is not None:
            return known

        artifacts = {part.code.logical_id: self._artifact(part) for part in parts}
        keys = {logical_id: artifact.key for logical_id, (artifact, _) in artifacts.items()}
        self._progress("expanding the template")
        expanded = expand(template, template.with_artifacts(keys), _REGION, self._cache / "templates")
        images = {context.name: self._image(context) for context in contexts}
        try:
            self._check_definitions(parts, template, expanded)
        except (TemplateError, UnsupportedError) as error:
            if error.file == template.file and error.place:  # known only by its name in the expanded template
                error.place = template.place(*error.place.split("."))
            raise

        body = json.dumps(expanded, sort_keys=True, indent=1).encode() + b"\n"
        contents = Contents(
            template_file=Path(self._settings.template).as_posix(),
            template_digest=hashlib.sha256(body).hexdigest(),
            artifacts={logical_id: artifact for logical_id, (artifact, _) in artifacts.items()},
            images={name: image for name, (image, _) in images.items()},
            warnings=tuple(
                warning
                for part in parts
                for warning in self._warnings(part, artifacts[part.code.logical_id][1])
            ),
        )
        files: dict[str, Path | bytes] = {"template.json": body}
        files |= {artifact.key: path for artifact, path in artifacts.values()}
        files |= {image.path: path for image, path in images.values()}
        self._progress("writing the bundle")
        bundle = Bundle.store(self._bundles, contents, files)
        write_atomically(index, bundle.id.encode())
        return bundle

    # Reading the project -----------------------------------------------------------------------------

    def _context(self, name: str, image: ImageSettings, template: Template) -> _Context:
        place = f"[images.{name}]"
        if image.parameter not in template.parameter_names():
            raise SettingsError(
                f"the template has no parameter {image.parameter}",
                file=self._settings.file,
                place=place,
                hint=nearest(image.parameter, template.parameter_names()),
            )
        folder = self._root / image.context
        if not folder.is_dir():
            raise SettingsError(
                f"there is no folder {image.context}",
                file=self._settings.file,
                place=place,
                hint="context names it",
            )
        tree = read_tree(folder, links=True, skip=ignored(folder))
        dockerfile = Path(image.dockerfile).as_posix()
        if dockerfile not in tree:
            if not (folder / dockerfile).is_file():
                raise DockerfileError(
                    "there is no such file",
                    file=folder / dockerfile,
                    hint=f"{place} of harness.toml names it",
                )
            # As with Docker itself, .dockerignore cannot hide the Dockerfile from the build.
            tree[dockerfile] = Member((folder / dockerfile).read_bytes())
        what = json.dumps([dockerfile, dict(image.build_args), tree_digest(tree)], sort_keys=True)
        return _Context(name, image, tree, hashlib.sha256(what.encode()).hexdigest())

    def _part(self, code: LocalCode, template: Template) -> _Part:
        kind = code.type.rpartition("::")[2]
        if kind == "StateMachine":
            text = read_definition(code.path).encode()
            tree: Tree = {"": Member(text)}
            return _Part(code, "definitions", tree, "", None, None, "", hashlib.sha256(text).hexdigest())
        try:
            tree = read_tree(code.path)
        except InputError as error:
            if error.file != code.path:
                raise
            raise TemplateError(
                f"{code.property} of {code.logical_id} is {os.path.relpath(code.path, self._root)}: "
                f"{error.message}",
                file=template.file,
                place=code.place,
                hint="the path is relative to the template",
            ) from None
        requirements = code.path / "requirements.txt" if "requirements.txt" in tree else None
        folder = "layers" if kind == "LayerVersion" else "functions"
        prefix = ""
        if kind == "LayerVersion":
            method = self._build_method(code, template)
            prefix = "python/" if method else ""
            if requirements is not None and method is None:
                raise TemplateError(
                    f"layer {code.logical_id} has a requirements.txt, but nothing says for which runtime",
                    file=template.file,
                    place=template.place("Resources", code.logical_id),
                    hint="add Metadata: {BuildMethod: python3.12}, say",
                )
            runtime, architecture = method, self._layer_architecture(code, template)
        else:
            runtime = template.property(code.logical_id, "Runtime")
            architecture = (template.property(code.logical_id, "Architectures") or ["x86_64"])[0]
        target, declared, packages = None, "", ""
        if requirements is not None:
            if not isinstance(runtime, str) or not isinstance(architecture, str):
                raise TemplateError(
                    f"runtime and architecture of {code.logical_id}, which has packages, must be plain text",
                    file=template.file,
                    place=template.place("Resources", code.logical_id),
                )
            target = package_target(runtime, architecture)
            declared = f"{runtime} on {architecture}"
            packages = requirements_key(requirements, target)
        key = hashlib.sha256(
            f"{FORMAT} {folder} {prefix} {tree_digest(tree)} {packages}".encode()
        ).hexdigest()
        return _Part(code, folder, tree, prefix, requirements, target, declared, key)

    def _build_method(self, code: LocalCode, template: Template) -> str | None:
        """The runtime that a layer's Metadata says its packages are for."""
        metadata = template.body["Resources"][code.logical_id].get("Metadata", {})
        method = metadata.get("BuildMethod")
        if method is not None and not str(method).startswith("python"):
            raise UnsupportedError(
                f"layer {code.logical_id} is to be built by {method}",
                file=template.file,
                place=template.place("Resources", code.logical_id),
                hint="python3.x is supported, and layers that need no building",
            )
        return None if method is None else str(method)

    def _layer_architecture(self, code: LocalCode, template: Template) -> Any:
        metadata = template.body["Resources"][code.logical_id].get("Metadata", {})
        compatible = template.property(code.logical_id, "CompatibleArchitectures") or ["x86_64"]
        return metadata.get("BuildArchitecture") or compatible[0]

    # What was made before ----------------------------------------------------------------------------

    def _key(self, template: Template, parts: list[_Part], contexts: list[_Context]) -> str:
        """SHA-256, in hex, of everything that decides what the bundle contains."""
        what = {
            "format": FORMAT,
            "translator": importlib.metadata.version("aws-sam-translator"),
            "file": self._settings.template,
            "template": template.body,
            "parts": [
                [part.code.logical_id, part.key, asdict(part.target) if part.target else None]
                for part in parts
            ],
            "images": [[context.name, context.settings.parameter, context.key] for context in contexts],
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def _known(self, index: Path) -> Bundle | None:
        try:
            return Bundle.load(self._bundles / index.read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        except InputError as error:
            self._progress(f"building again: {error.message}")
            return None

    # Making files ------------------------------------------------------------------------------------

    def _artifact(self, part: _Part) -> tuple[Artifact, Path]:
        suffix = "json" if part.folder == "definitions" else "zip"
        # What took a download is kept for every project and checkout of this user.
        cache = self._cache if part.requirements is None else cache_folder() / "artifacts"
        path = cache / part.folder / f"{part.key}.{suffix}"
        digest = _verified(path)
        if digest is None:
            self._progress(f"packing {part.code.logical_id}")
            buffer = io.BytesIO()
            if suffix == "json":
                buffer.write(part.tree[""].content)
            else:
                write_zip(self._with_packages(part), buffer)
            digest = _write_verifiable(path, buffer.getbuffer())
        return Artifact(f"{part.folder}/{digest}.{suffix}", digest, path.stat().st_size), path

    def _with_packages(self, part: _Part) -> Tree:
        own = {part.prefix + name: member for name, member in part.tree.items()}
        if part.requirements is None or part.target is None:
            return own
        self._progress(
            f"installing the packages of {part.code.logical_id} for Python {part.target.python} "
            f"on {part.target.platform}"
        )
        packages = installed(part.requirements, part.target)
        return {**{part.prefix + name: member for name, member in packages.items()}, **own}

    def _image(self, context: _Context) -> tuple[ImageContext, Path]:
        path = self._cache / "images" / f"{context.key}.tar"
        digest = _verified(path)
        if digest is None:
            self._progress(f"packing the build context of image {context.name}")
            buffer = io.BytesIO()
            write_tar(context.tree, buffer)
            digest = _write_verifiable(path, buffer.getbuffer())
        settings = context.settings
        image = ImageContext(
            name=context.name,
            path=f"images/{digest}.tar",
            dockerfile=Path(settings.dockerfile).as_posix(),
            build_args=dict(settings.build_args),
            parameter=settings.parameter,
            digest=context.key,
            context_digest=digest,
        )
        return image, path

    # Checking ----------------------------------------------------------------------------------------

    def _warnings(self, part: _Part, archive: Path) -> list[str]:
        if part.requirements is None or part.target is None:
            return []
        name = part.code.logical_id
        found = []
        if not part.target.exact:
            version = part.declared.partition(" ")[0].removeprefix("python")
            found.append(
                f"the packages of {name} are for Python {part.target.python} on {part.target.architecture}, "
                f"not for {part.declared} as declared: this machine has no such interpreter "
                f"(`uv python install {version}` gets the version)"
            )
        with zipfile.ZipFile(archive) as packed:
            loose = unpinned(part.requirements, packed.namelist())
        if loose:
            found.append(
                f"the packages of {name} may be others on another day: "
                f"{Path(os.path.relpath(part.requirements, self._root)).as_posix()} pins no version of "
                f"{', '.join(loose)}"
            )
        return found

    def _check_definitions(self, parts: list[_Part], template: Template, expanded: Mapping[str, Any]) -> None:
        written = {part.code.logical_id: part for part in parts if part.folder == "definitions"}
        stack = Stack(
            expanded,
            file=template.file,
            parameters=self._sample_parameters(expanded),
            account=_ACCOUNT,
            region=_REGION,
            stack="harness",
        )
        for logical_id in stack.order:
            properties = stack.resource(logical_id).properties
            if stack.resource(logical_id).type != "AWS::StepFunctions::StateMachine":
                continue
            if logical_id in written:
                file, text = written[logical_id].code.path, written[logical_id].tree[""].content.decode()
            else:
                inline = properties.get("DefinitionString", properties.get("Definition"))
                file, text = template.file, inline if isinstance(inline, str) else json.dumps(inline)
            substitutions = properties.get("DefinitionSubstitutions", {})
            check_definition(file, text, substitutions, properties.get("StateMachineType", "STANDARD"))

    def _sample_parameters(self, expanded: Mapping[str, Any]) -> dict[str, str]:
        """Values to check with; which ones does not matter, but some there must be."""
        declared = expanded.get("Parameters", {})
        values = {ARTIFACT_BUCKET: "artifacts"} if ARTIFACT_BUCKET in declared else {}
        values |= {image.parameter: name for name, image in self._settings.images.items()}
        for settings in (
            self._settings.local,
            *(stage.parameters for stage in self._settings.stages.values()),
        ):
            for name, value in settings.items():
                values.setdefault(name, value)
        for name, declaration in declared.items():
            if name not in values and "Default" not in declaration:
                number = "Number" in str(declaration.get("Type"))
                allowed = declaration.get("AllowedValues") or [1 if number else "sample"]
                values[name] = str(allowed[0])
        return values


def _verified(path: Path) -> str | None:
    """The digest of a cached file, if it is still what was once written."""
    try:
        digest = path.with_name(path.name + ".sha256").read_text(encoding="ascii")
        return digest if file_digest(path) == digest else None
    except OSError:
        return None


def _write_verifiable(path: Path, content: memoryview) -> str:
    with atomic_file(path) as file:
        file.write(content)
    digest = hashlib.sha256(content).hexdigest()
    write_atomically(path.with_name(path.name + ".sha256"), digest.encode())
    return digest
