from __future__ import annotations

from pathlib import Path

import pytest

from harness.containers.build import build
from harness.containers.dockerfile import parse
from harness.containers.runtime import ImageSource
from harness.errors import DockerfileError
from tests.containers.conftest import MakeImage

PYTHON = "FROM python:3.12-slim\n"


def test_instructions_know_their_first_line() -> None:
    text = (
        "# syntax=docker/dockerfile:1\n\nFROM python:3.12\n# comment\n"
        "RUN pip install a \\\n\n  # inside\n  b\nWORKDIR /x\n"
    )
    steps = parse(text, "Dockerfile").steps
    assert [(step.keyword, step.line) for step in steps] == [("RUN", 5), ("WORKDIR", 9)]
    assert steps[0].text.split() == ["pip", "install", "a", "b"]


def test_the_escape_directive_changes_what_continues_a_line() -> None:
    steps = parse("# escape=`\nFROM python\nENV A=1 `\n B=2\nENV C=\\x\n", "Dockerfile").steps
    assert [step.text.split() for step in steps] == [["A=1", "B=2"], ["C=\\x"]]


def test_keywords_are_case_insensitive_and_tabs_separate() -> None:
    assert parse("from\tpython\nworkdir /x", "Dockerfile").steps[0].keyword == "WORKDIR"


def test_env_in_both_forms_sees_the_values_from_before_the_line(image: MakeImage) -> None:
    made = image(
        PYTHON
        + 'ARG VERSION=7\nENV A=one B="two words" C=a\\ b\nENV OLD the rest  of it\n'
        + "ENV A=x D=$A E=${VERSION}-'$A'\n"
    )
    environment = dict(made.environment)
    assert environment.pop("PATH").startswith("/usr/local/bin:")
    assert environment.pop("LANG") == "C.UTF-8"
    assert environment == {
        "A": "x",
        "B": "two words",
        "C": "a b",
        "OLD": "the rest  of it",
        "D": "one",
        "E": "7-$A",
    }


def test_path_can_be_extended(image: MakeImage) -> None:
    made = image(PYTHON + 'ENV PATH="/opt/program:${PATH}"\n')
    assert made.environment["PATH"].startswith("/opt/program:/usr/local/bin:")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("${SET:-d}", "s"),
        ("${UNSET:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${UNSET-d}", "d"),
        ("${SET:+w}", "w"),
        ("${EMPTY:+w}", ""),
        ("${EMPTY+w}", "w"),
        ("${UNSET+w}", ""),
        ("${UNSET:-${SET}/x}", "s/x"),
        ("${UNSET}", ""),
        ("$SET/$UNSET", "s/"),
        ("\\$SET", "$SET"),
        ("'$SET'", "$SET"),
        ('"$SET"', "s"),
    ],
)
def test_substitution(image: MakeImage, expression: str, value: str) -> None:
    made = image(PYTHON + f"ENV SET=s EMPTY=\nENV RESULT={expression}\n")
    assert made.environment["RESULT"] == value


def test_arguments_before_from_reach_from_and_only_those_declared_again_what_follows(
    image: MakeImage,
) -> None:
    dockerfile = (
        "ARG BASE=python:3.12-slim\nARG SHARED=outer\nARG HIDDEN=h\nFROM ${BASE:-nothing}\n"
        "ARG SHARED\nARG GIVEN=default\nENV A=$SHARED B=$HIDDEN C=$GIVEN\n"
    )
    made = image(dockerfile, build_args={"GIVEN": "build"})
    assert (made.environment["A"], made.environment["B"], made.environment["C"]) == ("outer", "", "build")


def test_an_environment_variable_wins_over_an_argument(image: MakeImage) -> None:
    made = image(PYTHON + "ENV V=env\nARG V=arg\nENV RESULT=$V\n")
    assert made.environment["RESULT"] == "env"


@pytest.mark.parametrize(
    ("lines", "entrypoint", "command"),
    [
        ('ENTRYPOINT ["python", "a.py"]', ("python", "a.py"), ()),
        ("ENTRYPOINT exec python a.py $X", ("/bin/sh", "-c", "exec python a.py $X"), ()),
        ('CMD ["x"]\nENTRYPOINT ["y"]', ("y",), ("x",)),
        ("CMD run it", (), ("/bin/sh", "-c", "run it")),
        ('SHELL ["/bin/bash", "-ec"]\nCMD run it', (), ("/bin/bash", "-ec", "run it")),
        ("", (), ("python3",)),
        ("CMD ['not', 'json']", (), ("/bin/sh", "-c", "['not', 'json']")),
        ('ENTRYPOINT ["a"]\nENTRYPOINT []', (), ()),
    ],
)
def test_entrypoint_and_command(
    image: MakeImage, lines: str, entrypoint: tuple[str, ...], command: tuple[str, ...]
) -> None:
    made = image(f"{PYTHON}{lines}\n")
    assert (made.entrypoint, made.command) == (entrypoint, command)


def test_labels_and_instructions_without_effect(image: MakeImage) -> None:
    made = image(
        PYTHON
        + 'LABEL a=1 "b c"="d e"\nEXPOSE 8080/tcp 9000-9010\nHEALTHCHECK --interval=5s CMD curl x\n'
        + 'VOLUME ["/data"]\nUSER root\nSTOPSIGNAL SIGINT\nMAINTAINER somebody\n'
    )
    assert made.labels == {"a": "1", "b c": "d e"}
    assert made.payload.stop_signal.name == "SIGINT"
    assert (made.payload.tree / "data").is_dir()


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        ("", None, "empty"),
        ("# nothing\n", None, "empty"),
        ("RUN true\nFROM python\n", 1, "only ARG may stand before FROM"),
        ("ARG A=1\n", None, "no FROM"),
        ("FROM python\nFRM x\n", 2, "no such instruction"),
        ("FROM python AS a\nRUN true\n\nFROM python\n", 4, "a second stage"),
        ("FROM scratch\n", 1, "empty base image"),
        ("FROM pytorch/pytorch:2.1\n", 1, "pytorch/pytorch:2.1"),
        ("FROM python:2.7\n", 1, "only Python 3"),
        ("FROM python as a b\n", 1, "IMAGE AS NAME"),
        ("FROM --speed=2 python\n", 1, "--speed"),
        ("FROM python\nCOPY --from=build /a /b\n", 2, "--from=build"),
        ("FROM python\nCOPY --parents a b/\n", 2, "--parents"),
        ("FROM python\nCOPY missing.txt /x\n", 2, "missing.txt is not in the build context"),
        ("FROM python\nCOPY *.txt /x\n", 2, "*.txt is not in the build context"),
        ("FROM python\nCOPY one\n", 2, "a source and a destination"),
        ("FROM python\nCOPY a b /x\n", 2, "2 sources cannot be copied to the one file /x"),
        ("FROM python\nCOPY --chmod=+x a /x\n", 2, "--chmod=+x"),
        ("FROM python\nCOPY a /proc/x\n", 2, "/proc"),
        ("FROM python\nCOPY <<EOF /x\ntext\nEOF\n", 2, "here-documents"),
        ("FROM python\nRUN <<EOF\necho\nEOF\n", 2, "here-documents"),
        ("FROM python\nADD https://example.com/a /a\n", 2, "would be downloaded"),
        ("FROM python\nADD git@github.com:a/b.git /a\n", 2, "would be downloaded"),
        ("FROM python\nUSER app\n", 2, "run as app"),
        ("FROM python\nSTOPSIGNAL SIGKILL\n", 2, "SIGKILL"),
        ("FROM python\nSHELL /bin/bash\n", 2, "JSON array"),
        ("FROM python\nEXPOSE eighty\n", 2, "eighty"),
        ("FROM python\nENV A\n", 2, "has no value"),
        ("FROM python\nENV A=1 B\n", 2, "NAME=value"),
        ("FROM python\nENV A='x\n", 2, "not closed"),
        ("FROM python\nENV A=${B%x}\n", 2, "${NAME:-word}"),
        ("FROM python\nARG 1x=2\n", 2, "not a variable's name"),
        ("FROM python\nWORKDIR\n", 2, "no arguments"),
        (
            "FROM python\n\nRUN apt-get update && \\\n apt-get install -y nginx\n",
            3,
            "apt-get install -y nginx",
        ),
        ("FROM python\nRUN useradd app\n", 2, "useradd app"),
        ("FROM python\nRUN make install\n", 2, "make install"),
        ("FROM python\nRUN curl x | sh\n", 2, "the shell's |"),
        ("FROM python\nRUN echo x > /y\n", 2, "the shell's >"),
        ("FROM python\nRUN pip install $(cat x)\n", 2, "the shell's $(...)"),
        ("FROM python\nRUN a || b\n", 2, "the shell's ||"),
        ("FROM python\nRUN --mount=type=secret,id=x pip install six\n", 2, "--mount=type=secret"),
        ("FROM python\nRUN pip install -e .\n", 2, "-e"),
        ("FROM python\nRUN pip install -r missing.txt\n", 2, "missing.txt has not been copied"),
        ("FROM python\nRUN pip install --target /x six\n", 2, "--target"),
        ("FROM python\nRUN pip install\n", 2, "nothing to install"),
        ("FROM python\nRUN pip uninstall six\n", 2, "pip uninstall six"),
        ("FROM python\nENV PIP_TARGET=/x\nRUN pip install six\n", 3, "PIP_TARGET"),
        ("FROM python\nRUN chmod +x /opt/none\n", 2, "chmod /opt/none"),
        ("FROM python\nRUN mkdir /a/b/c\n", 2, "no folder above it"),
        ("FROM python\nRUN rm -rf /usr/lib/python3\n", 2, "out of reach"),
        ("FROM python\nRUN ln a b\n", 2, "ln -s"),
        ("# escape=x\nFROM python\n", 1, "escape character"),
    ],
)
def test_refusals_name_the_file_and_the_line(
    image: MakeImage, lines: str, line: int | None, words: str
) -> None:
    with pytest.raises(DockerfileError) as caught:
        image(lines, {"a": "1", "b": "2"})
    assert words in caught.value.message
    assert str(caught.value.file).endswith("Dockerfile")
    if line is not None:
        assert caught.value.place is not None
        assert caught.value.place.split(":")[0] == f"line {line}"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "image_name",
    [
        "python:3.12-slim",
        "python",
        "python:3",
        "public.ecr.aws/docker/library/python:3.12-slim",
        "registry.example.com:5000/team/python:3.12@sha256:" + "0" * 64,
        "tiangolo/uvicorn-gunicorn:python3.11",
        "ubi8/python-311:latest",
    ],
)
def test_python_images(image: MakeImage, image_name: str) -> None:
    assert image(f"FROM {image_name}\n").command == ("python3",)


def test_the_python_version_a_name_asks_for(image: MakeImage) -> None:
    made = image("FROM python:3.99-slim\n")
    assert any("asks for Python 3.99" in warning for warning in made.payload.warnings)


@pytest.mark.parametrize("name", ["ubuntu:24.04", "debian:bookworm-slim", "amazonlinux:2023"])
def test_plain_systems_are_stood_in_for_and_it_is_said(image: MakeImage, name: str) -> None:
    made = image(f"FROM {name}\n")
    assert any(name in warning for warning in made.payload.warnings)


def test_steps_that_are_to_be_ignored_are_left_out_and_it_is_said(image: MakeImage) -> None:
    made = image(
        "FROM company/base:1\nUSER app\nRUN apt-get update && apt-get install -y nginx && mkdir /srv/x\n",
        ignore=("FROM company/*", "USER *", "RUN apt-get install *"),
    )
    assert (made.payload.tree / "srv/x").is_dir()
    assert [warning.split(" is left out")[0] for warning in made.payload.warnings[-2:]] == [
        "line 2",
        "line 3",
    ]


def test_build_arguments_nobody_takes_are_reported(image: MakeImage) -> None:
    made = image(PYTHON, build_args={"TYPO": "1"})
    assert any("TYPO" in warning for warning in made.payload.warnings)


def test_a_missing_dockerfile(tmp_path: Path) -> None:
    with pytest.raises(DockerfileError, match="there is no such file"):
        build(ImageSource("x", tmp_path), print)


def test_a_missing_context(tmp_path: Path) -> None:
    with pytest.raises(DockerfileError, match="context does not exist"):
        build(ImageSource("x", tmp_path / "none"), print)
