from __future__ import annotations

import json
import os
import platform
import sys
import tarfile
import zipfile

import pytest

from harness.errors import (
    DefinitionError,
    DockerfileError,
    InputError,
    SettingsError,
    TemplateError,
    UnsupportedError,
)
from harness.project import Bundle, Project, resolve

LAYER = """\
  Numbers:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: ../lambdas/layers/numbers, CompatibleRuntimes: [python3.12]}
    Metadata: {BuildMethod: python3.12}
"""
OWN = f"python3.{sys.version_info.minor}"
MACHINE = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def template(text, **changes):
    """The small project's template, with a few words exchanged."""
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture
def base(make_project):
    return (make_project("base") / "definitions/template.yaml").read_text()


def build(root, lines=None):
    return Project.load(root).build(lines.append if lines is not None else lambda line: None)


def add(base, resource):
    return base.replace("Outputs:\n", resource + "Outputs:\n")


# What is in it --------------------------------------------------------------------------------------


def test_a_bundle_has_everything_that_runs(make_project):
    bundle = build(make_project())
    assert bundle.path.name == bundle.id
    assert bundle.warnings == ()
    assert set(bundle.artifacts) == {"Greet", "Machine"}

    with zipfile.ZipFile(bundle.file(bundle.artifacts["Greet"].key)) as code:
        assert code.namelist() == ["app.py", "data/words.txt"]
    with tarfile.open(bundle.file(bundle.images["worker"].path)) as context:
        assert context.getnames() == ["Dockerfile", "main.py"]
    key = bundle.template["Resources"]["Greet"]["Properties"]["Code"]["S3Key"]
    assert key == bundle.artifacts["Greet"].key == f"functions/{bundle.artifacts['Greet'].digest}.zip"


def test_a_bundle_resolves_to_a_stack(make_project):
    bundle = build(make_project())
    stack = resolve(
        bundle, parameters={"Greeting": "hi"}, account="123456789012", region="us-east-1", stack="dev"
    )
    assert [resource.logical_id for resource in stack.resources] == ["Role", "Greet", "Machine"]
    greet = stack.resource("Greet")
    digest = bundle.images["worker"].digest
    assert greet.properties["Environment"]["Variables"] == {
        "GREETING": "hi",
        "IMAGE": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/worker@sha256:{digest}",
    }
    definition = json.loads(bundle.definition(stack.resource("Machine")))
    assert definition["States"]["Greet"]["Resource"] == greet.attributes["Arn"]
    assert stack.outputs["Machine"].startswith(
        "arn:aws:states:us-east-1:123456789012:stateMachine:dev-Machine-"
    )


# The same inputs, the same id -----------------------------------------------------------------------


def test_path_time_and_umask_do_not_change_a_bundle(make_project):
    first = make_project("first")
    before = os.umask(0o077)
    try:
        second = make_project("somewhere/else/second")
    finally:
        os.umask(before)
    for path in second.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    bundles = build(first), build(second)
    assert bundles[0].path != bundles[1].path
    assert bundles[0].id == bundles[1].id
    files = [
        {
            file.relative_to(bundle.path): file.read_bytes()
            for file in bundle.path.rglob("*")
            if file.is_file()
        }
        for bundle in bundles
    ]
    assert files[0] == files[1]


@pytest.mark.slow
def test_packages_do_not_change_a_bundle_either(make_project, wheels, base, tmp_path, monkeypatch):
    wheels("demo", requires=("helper",))
    requirements = wheels("helper") + "demo==1.0\nhelper==1.0\n"
    changes = {
        "definitions/template.yaml": add(base, LAYER),
        "lambdas/layers/numbers/requirements.txt": requirements,
    }
    first = build(make_project("first", changes))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "another cache"))
    second = build(make_project("second", changes))
    bundles = first, second
    assert bundles[0].id == bundles[1].id
    with zipfile.ZipFile(bundles[0].file(bundles[0].artifacts["Numbers"].key)) as layer:
        assert {"python/demo/__init__.py", "python/helper/__init__.py"} <= set(layer.namelist())


@pytest.mark.parametrize(
    "name",
    [
        "lambdas/greet/app.py",
        "definitions/machine.asl.json",
        "containers/worker/main.py",
        "containers/worker/Dockerfile",
    ],
)
def test_a_change_anywhere_is_another_bundle_and_undone_the_same_again(make_project, name):
    root = make_project()
    first = build(root)
    original = (root / name).read_text()
    (root / name).write_text(original + "\n")
    assert build(root).id != first.id
    (root / name).write_text(original)
    assert build(root).id == first.id


def test_a_template_or_setting_that_changes_what_runs_is_another_bundle(make_project, base):
    ids = {build(make_project("0")).id}
    ids.add(build(make_project("1", {"definitions/template.yaml": base.replace("hello", "hi")})).id)
    settings = (make_project("2") / "harness.toml").read_text()
    ids.add(build(make_project("2", {"harness.toml": settings + 'build_args = {A = "1"}\n'})).id)
    assert len(ids) == 3


def test_settings_and_comments_that_do_not_change_what_runs_leave_the_bundle_alone(make_project, base):
    first = build(make_project("0"))
    settings = (make_project("0") / "harness.toml").read_text() + '[scenarios]\nfolder = "stories"\n'
    second = build(
        make_project("1", {"harness.toml": settings, "definitions/template.yaml": "# why\n" + base})
    )
    assert first.id == second.id


# Caches ---------------------------------------------------------------------------------------------


def test_an_unchanged_project_is_not_built_again(make_project):
    root = make_project()
    first = build(root)
    lines: list[str] = []
    for path in root.rglob("*.py"):
        os.utime(path)
    assert build(root, lines).id == first.id
    assert lines == []


def test_only_what_changed_is_packed_again(make_project):
    root = make_project()
    build(root)
    (root / "lambdas/greet/app.py").write_text("changed = True\n")
    lines: list[str] = []
    build(root, lines)
    assert "packing Greet" in lines
    assert not any("Machine" in line or "worker" in line for line in lines)


@pytest.mark.slow
def test_packages_are_installed_once(make_project, wheels, base, tmp_path):
    requirements = wheels("demo") + "demo==1.0\n"
    changes = {
        "definitions/template.yaml": add(base, LAYER),
        "lambdas/layers/numbers/requirements.txt": requirements,
    }
    root = make_project(changes=changes)
    build(root)
    for wheel in (tmp_path / "wheels").iterdir():
        wheel.unlink()
    (root / "lambdas/greet/app.py").write_text("changed = True\n")
    lines: list[str] = []
    build(root, lines)
    assert "packing Greet" in lines
    assert not any("Numbers" in line for line in lines)
    lines.clear()
    build(make_project("another checkout", changes), lines)
    assert "packing Greet" in lines
    assert not any("Numbers" in line for line in lines)


def test_a_damaged_cache_or_bundle_is_made_again(make_project):
    root = make_project()
    first = build(root)
    artifact = first.file(first.artifacts["Greet"].key)  # also the cache's, by a hard link
    artifact.write_bytes(artifact.read_bytes()[:-1])
    lines: list[str] = []
    second = build(root, lines)
    assert second.id == first.id
    assert any("building again" in line for line in lines)
    assert Bundle.load(second.path).id == first.id


# Opening --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["template.json", "manifest.json", "functions", "definitions", "images"])
def test_one_changed_byte_is_noticed(make_project, name):
    bundle = build(make_project())
    path = bundle.path / name
    file = next(path.iterdir()) if path.is_dir() else path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()
    file.write_bytes(content)
    with pytest.raises(InputError, match="has changed since") as caught:
        Bundle.load(bundle.path)
    assert caught.value.file == file


def test_a_missing_file_is_noticed(make_project):
    bundle = build(make_project())
    bundle.file(bundle.artifacts["Greet"].key).unlink()
    with pytest.raises(InputError, match="a file of the bundle is missing"):
        Bundle.load(bundle.path)


def test_a_folder_that_is_no_bundle(tmp_path):
    with pytest.raises(InputError, match="there is no bundle here"):
        Bundle.load(tmp_path)


# Warnings -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere packages are never what Lambda runs")
def test_packages_for_another_architecture_than_declared_are_a_warning(make_project, wheels, base):
    other = "arm64" if MACHINE == "x86_64" else "x86_64"
    text = template(base, **{"python3.12": OWN}).replace("Handler:", f"Architectures: [{other}], Handler:")
    changes = {
        "definitions/template.yaml": text,
        "lambdas/greet/requirements.txt": wheels("demo") + "demo==1.0\n",
    }
    (warning,) = build(make_project(changes=changes)).warnings
    assert f"on {MACHINE}, not for {OWN} on {other} as declared" in warning


@pytest.mark.slow
def test_versions_that_are_left_open_are_a_warning(make_project, wheels, base):
    wheels("demo", requires=("helper",))
    changes = {
        "definitions/template.yaml": template(base, **{"python3.12": OWN}),
        "lambdas/greet/requirements.txt": wheels("helper") + "demo==1.0\n",
    }
    warnings = build(make_project(changes=changes)).warnings
    assert any("lambdas/greet/requirements.txt pins no version of helper" in warning for warning in warnings)


# Bad input ------------------------------------------------------------------------------------------

BROKEN_MACHINE = '{\n  "StartAt": "A",\n  "States": {"A": {"Type": "Pass" "End": true}}\n}\n'
YAML_MACHINE = {"definitions/machine.asl.json": None, "definitions/machine.asl.yaml": "StartAt: A\n"}


@pytest.mark.parametrize(
    ("changes", "replace", "error", "file", "place", "message"),
    [
        (
            {"definitions/template.yaml": None},
            {},
            TemplateError,
            "definitions/template.yaml",
            None,
            "no such file",
        ),
        (
            {"definitions/machine.asl.json": None},
            {},
            DefinitionError,
            "definitions/machine.asl.json",
            None,
            "no such file",
        ),
        (
            {"definitions/machine.asl.json": BROKEN_MACHINE},
            {},
            DefinitionError,
            "definitions/machine.asl.json",
            "line 3, column 35",
            "not JSON",
        ),
        (
            {},
            {"GreetArn: ": "GreetAr: "},
            DefinitionError,
            "definitions/machine.asl.json",
            "line 4",
            "nothing is substituted for ${GreetArn}",
        ),
        (
            YAML_MACHINE,
            {"asl.json": "asl.yaml"},
            UnsupportedError,
            "definitions/machine.asl.yaml",
            None,
            "YAML",
        ),
        (
            {},
            {"../lambdas/greet": "../lambdas/greeting"},
            TemplateError,
            "definitions/template.yaml",
            "line 11, Resources.Greet.Properties.CodeUri",
            "CodeUri of Greet is lambdas/greeting: there is no such folder",
        ),
        (
            {},
            {"WorkerImage": "WorkImage"},
            SettingsError,
            "harness.toml",
            "[images.worker]",
            "the template has no parameter WorkerImage",
        ),
        (
            {"containers/worker/Dockerfile": None},
            {},
            DockerfileError,
            "containers/worker/Dockerfile",
            None,
            "no such file",
        ),
        (
            {"containers/worker/Dockerfile": None, "containers/worker/main.py": None},
            {},
            SettingsError,
            "harness.toml",
            "[images.worker]",
            "there is no folder containers/worker",
        ),
        (
            {"lambdas/greet/requirements.txt": "-r more.txt\n"},
            {},
            InputError,
            "lambdas/greet/requirements.txt",
            "line 1",
            "outside the file",
        ),
        (
            {"lambdas/layers/numbers/requirements.txt": "demo==1.0\n"},
            {"Outputs:\n": LAYER.replace("    Metadata: {BuildMethod: python3.12}\n", "") + "Outputs:\n"},
            TemplateError,
            "definitions/template.yaml",
            "line 24, Resources.Numbers",
            "nothing says for which runtime",
        ),
        (
            {"lambdas/layers/numbers/x": ""},
            {"Outputs:\n": LAYER.replace("BuildMethod: python3.12", "BuildMethod: makefile") + "Outputs:\n"},
            UnsupportedError,
            "definitions/template.yaml",
            "line 24, Resources.Numbers",
            "is to be built by makefile",
        ),
        (
            {},
            {"Outputs:\n": "  Net: {Type: AWS::EC2::VPC}\nOutputs:\n"},
            UnsupportedError,
            "definitions/template.yaml",
            "line 24, Resources.Net",
            "AWS::EC2::VPC",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    make_project, base, changes, replace, error, file, place, message
):
    if replace:
        changes = {**changes, "definitions/template.yaml": template(base, **replace)}
    root = make_project(changes=changes)
    with pytest.raises(error) as caught:
        build(root)
    assert caught.value.exit_code == 2
    assert message in caught.value.message
    assert caught.value.file is not None
    assert caught.value.file.resolve() == root / file
    assert caught.value.place == place
    assert not (root / ".harness/bundles").exists(), "nothing half built is left"


def test_a_definition_that_the_interpreter_refuses_names_its_file(make_project):
    machine = '{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}'
    root = make_project(changes={"definitions/machine.asl.json": machine})
    with pytest.raises(DefinitionError) as caught:
        build(root)
    assert caught.value.file == root / "definitions/machine.asl.json"
