from __future__ import annotations

import pytest

from harness.errors import SettingsError
from harness.project import Project
from harness.project.settings import ContainerSettings, ImageSettings, Settings, StageSettings

FULL = """
template = "definitions/template.yaml"

[images.training]
context = "containers/training"
dockerfile = "docker/Dockerfile"
parameter = "TrainingImageUri"
build_args = {BASE = "python:3.12", LEVEL = 3, DEBUG = false}
ignore = ["USER *", "RUN apt-get install *"]

[local]
parameters = {NameSuffix = "-local", Count = 2}

[stages.dev]
account = "123456789012"
region = "eu-central-1"
parameters = {NameSuffix = "-dev"}

[scenarios]
folder = "stories"
containers = "stub"

[containers]
internet = true
startup_limit = 30
"""


def load(tmp_path, text):
    file = tmp_path / "harness.toml"
    file.write_text(text)
    return Settings.load(file)


def test_everything_that_can_be_said(tmp_path):
    settings = load(tmp_path, FULL)
    assert settings.template == "definitions/template.yaml"
    assert settings.images == {
        "training": ImageSettings(
            context="containers/training",
            dockerfile="docker/Dockerfile",
            parameter="TrainingImageUri",
            build_args={"BASE": "python:3.12", "LEVEL": "3", "DEBUG": "false"},
            ignore=("USER *", "RUN apt-get install *"),
        )
    }
    assert settings.local == {"NameSuffix": "-local", "Count": "2"}
    assert settings.stages == {"dev": StageSettings("123456789012", "eu-central-1", {"NameSuffix": "-dev"})}
    assert (settings.scenarios.folder, settings.scenarios.containers) == ("stories", "stub")
    assert settings.containers == ContainerSettings(internet=True, startup_limit=30.0)


def test_only_the_template_must_be_said(tmp_path):
    settings = load(tmp_path, 'template = "t.yaml"')
    assert (settings.images, settings.local, settings.stages) == ({}, {}, {})
    assert (settings.scenarios.folder, settings.scenarios.containers) == ("scenarios", "auto")


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ("", None, "template is missing", None),
        ("template = 3", None, "template must be a text, not a number", None),
        ('template = ""', None, "template must be a text", None),
        ('templat = "t"', None, "unknown key templat", "did you mean template?"),
        ('template = "t"\nimages = 3', None, "images must be a table, not a number", None),
        (
            'template = "t"\n[images.a]\ncontext = "c"\nparameter = "P"\nparamter = "P"',
            "[images.a]",
            "unknown key paramter",
            "did you mean parameter?",
        ),
        ('template = "t"\n[images.a]\ncontext = "c"', "[images.a]", "parameter is missing", None),
        (
            'template = "t"\n[images.A]\ncontext = "c"\nparameter = "P"',
            "[images.A]",
            "cannot be called 'A'",
            "lower",
        ),
        ('template = "t"\n[stages.dev]\nregion = "eu-central-1"', "[stages.dev]", "account is missing", None),
        (
            'template = "t"\n[stages.dev]\naccount = 123456789012\nregion = "eu-central-1"',
            "[stages.dev]",
            "account must be a text, not a number",
            None,
        ),
        (
            'template = "t"\n[stages.dev]\naccount = "12"\nregion = "eu-central-1"',
            "[stages.dev]",
            "account cannot be '12'",
            "it must match",
        ),
        (
            'template = "t"\n[local]\nparameters = {A = ["x"]}',
            "[local]",
            "parameters.A must be a text or a number, not a list",
            None,
        ),
        (
            'template = "t"\n[scenarios]\ncontainers = "podman"',
            "[scenarios]",
            "containers cannot be 'podman'",
            "auto, docker, process, stub",
        ),
        (
            'template = "t"\n[containers]\ninternet = "yes"',
            "[containers]",
            "internet must be true or false, not 'yes'",
            None,
        ),
        (
            'template = "t"\n[containers]\nstartup_limit = 0',
            "[containers]",
            "startup_limit must be a number of seconds greater than 0",
            None,
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, place, message, hint):
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    assert caught.value.file == tmp_path / "harness.toml"
    assert caught.value.place == place
    assert message in caught.value.message
    assert (hint or "") in (caught.value.hint or "")


def test_broken_toml_is_reported_with_line_and_column(tmp_path):
    with pytest.raises(SettingsError, match="not TOML") as caught:
        load(tmp_path, 'template = "t"\nimages = [\n')
    assert caught.value.place is not None
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, 'template = "t"\nx = = 3\n')
    assert caught.value.place == "line 2, column 5"


def test_a_missing_file(tmp_path):
    with pytest.raises(SettingsError, match="no such file"):
        Settings.load(tmp_path / "harness.toml")


def test_the_project_is_found_from_a_folder_inside_it(make_project, tmp_path):
    root = make_project()
    assert Project.load(root / "lambdas" / "greet").root == root
    with pytest.raises(SettingsError, match=r"no harness\.toml in .* or above"):
        Project.load(tmp_path)
