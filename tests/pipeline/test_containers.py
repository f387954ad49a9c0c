"""The programs of the two containers, run as plain Python."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "scenarios/data/digits"


def job(base: Path, hyperparameters: dict[str, str] | None = None) -> Path:
    """The folders that SageMaker prepares for a training job."""
    (base / "input/config").mkdir(parents=True)
    (base / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters or {}))
    for channel in ("train", "validation"):
        shutil.copytree(DIGITS / channel, base / "input/data" / channel)
    return base


def train(base: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = ROOT / "containers/training/program/train.py"
    return subprocess.run(
        [sys.executable, program, *(arguments or ("train",))],
        env={"SAGEMAKER_BASE_DIR": str(base), "PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    base = job(tmp_path_factory.mktemp("training"))
    done = train(base)
    assert done.returncode == 0, done.stderr
    return base, done.stdout


@pytest.fixture
def application(trained, import_program, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(trained[0]))
    return import_program("inference", "app").create()


def request(application, method, path, body=b"", content_type=""):
    environ: dict[str, object] = {}
    setup_testing_defaults(environ)
    environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": io.BytesIO(body)}
    environ |= {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    seen = {}

    def start_response(status, headers):
        seen["status"], seen["headers"] = int(status.split()[0]), dict(headers)

    answer = b"".join(application(environ, start_response))
    assert seen["headers"]["Content-Length"] == str(len(answer))
    return seen["status"], answer


# Training -------------------------------------------------------------------------------------------


def test_training_reports_every_epoch_and_leaves_a_model(trained):
    base, output = trained
    lines = [line for line in output.splitlines() if line.startswith("epoch=")]
    assert len(lines) == 60
    assert float(lines[-1].rpartition("validation_f1=")[2]) > 0.85
    assert sorted(path.name for path in (base / "model").iterdir()) == ["model.json", "model.npz"]
    assert not (base / "output/failure").exists()


def test_the_same_seed_gives_the_same_model_and_another_another(tmp_path):
    weights = []
    for number, seed in enumerate(("1", "1", "2")):
        base = job(tmp_path / str(number), {"epochs": "2", "seed": seed})
        assert train(base).returncode == 0
        weights.append(np.load(base / "model/model.npz")["output_weights"])
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_hyperparameters_may_be_json_text_as_the_sdks_write_it(tmp_path):
    given = {
        "epochs": '"2"',
        "sagemaker_program": '"train.py"',
        "_tuning_objective_metric": "f1",
        "learning_rate": "0.05",
    }
    done = train(job(tmp_path, given))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch=") == 2


@pytest.mark.parametrize(
    ("hyperparameters", "reason"),
    [
        ({"epoch": "3"}, "unknown hyperparameter epoch"),
        ({"epochs": "many"}, "hyperparameter epochs must be int, not many"),
        ({"epochs": "0"}, "hyperparameter epochs must be positive, not 0"),
        ({"learning_rate": "nan"}, "hyperparameter learning_rate must be positive, not nan"),
        ({"learning_rate": "1e300", "epochs": "1"}, "training diverged in epoch 1"),
    ],
)
def test_hyperparameters_that_cannot_be_used(tmp_path, hyperparameters, reason):
    base = job(tmp_path, hyperparameters)
    assert train(base).returncode == 1
    assert (base / "output/failure").read_text().startswith(reason)
    assert not (base / "model").exists()


def spoil_nothing_to_learn(data: Path) -> None:
    shutil.rmtree(data / "train")


def spoil_empty(data: Path) -> None:
    shutil.rmtree(data / "validation")
    (data / "validation").mkdir()


def spoil_image(data: Path) -> None:
    (data / "train/3/0001.png").write_bytes(b"not an image")


def spoil_label(data: Path) -> None:
    (data / "validation/3").rename(data / "validation/three")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_nothing_to_learn, "there is no channel train"),
        (spoil_empty, "channel validation has no images"),
        (spoil_image, "train/3/0001.png is not an image"),
        (spoil_label, "labels of channel validation that are not in train: three"),
    ],
)
def test_channels_that_cannot_be_used(tmp_path, spoil, reason):
    base = job(tmp_path)
    spoil(base / "input/data")
    done = train(base)
    assert done.returncode == 1
    assert (base / "output/failure").read_text().startswith(reason)
    assert "Traceback" not in done.stderr


def test_sigterm_keeps_what_has_been_learned(tmp_path):
    base = job(tmp_path, {"epochs": "1000000"})
    process = subprocess.Popen(
        [sys.executable, ROOT / "containers/training/program/train.py", "train"],
        env={"SAGEMAKER_BASE_DIR": str(base), "PATH": os.defpath},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch=3 "):
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stdout.read()
        assert process.wait(timeout=30) == 0
    assert "stopped after epoch" in rest
    assert (base / "model/model.npz").exists()


@pytest.mark.parametrize("program", ["training/program/train.py", "inference/program/serve.py"])
def test_another_argument_than_sagemaker_s_is_refused(program):
    done = subprocess.run(
        [sys.executable, ROOT / "containers" / program, "other"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")


# Inference ------------------------------------------------------------------------------------------


def test_ping(application):
    assert request(application, "GET", "/ping") == (200, b"")


def test_the_held_back_images_are_classified_well(application):
    hits = 0
    paths = sorted((DIGITS / "test").glob("*/*.png"))
    for path in paths:
        status, answer = request(
            application, "POST", "/invocations", path.read_bytes(), "application/x-image"
        )
        assert status == 200
        hits += json.loads(answer) == {"predictions": {"class": path.parent.name}}
    assert len(paths) == 200
    assert hits / len(paths) > 0.85


@pytest.mark.parametrize("content_type", ["image/png", "application/x-image; charset=binary", "IMAGE/PNG"])
def test_content_types(application, content_type):
    image = (DIGITS / "test/3/0001.png").read_bytes()
    assert request(application, "POST", "/invocations", image, content_type)[0] == 200


def test_images_of_another_size_and_mode_are_scaled(application):
    with Image.open(DIGITS / "test/0/0001.png") as small:
        large = small.convert("RGB").resize((64, 64))
    body = io.BytesIO()
    large.save(body, "PNG")
    assert request(application, "POST", "/invocations", body.getvalue(), "image/png")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status", "text"),
    [
        ("POST", "/invocations", b"x", "text/csv", 415, "not text/csv"),
        ("POST", "/invocations", b"x", "", 415, "not no type"),
        ("POST", "/invocations", b"x", "image/png", 400, "is not an image"),
        ("POST", "/invocations", b"", "image/png", 400, "is not an image"),
        ("POST", "/invocations", b"x" * (6 * 1024 * 1024 + 1), "image/png", 413, "6291456 bytes at most"),
        ("GET", "/invocations", b"", "", 405, "takes POST"),
        ("POST", "/ping", b"", "", 405, "takes GET"),
        ("GET", "/execution-parameters", b"", "", 404, "there is no"),
    ],
)
def test_requests_that_are_refused(application, method, path, body, content_type, status, text):
    got, answer = request(application, method, path, body, content_type)
    assert got == status
    assert text in json.loads(answer)["error"]


def test_a_cut_off_image_is_refused(application):
    image = (DIGITS / "test/3/0001.png").read_bytes()[:60]
    assert request(application, "POST", "/invocations", image, "image/png")[0] == 400


def test_an_image_that_says_it_is_enormous_is_refused_before_it_is_unpacked(application):
    body = io.BytesIO()
    Image.new("1", (5000, 5000)).save(body, "PNG")
    status, answer = request(application, "POST", "/invocations", body.getvalue(), "image/png")
    assert status == 400
    assert "5000 x 5000" in json.loads(answer)["error"]


def test_without_a_model_the_container_ends_and_says_why(tmp_path, import_program, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    with pytest.raises(SystemExit, match="cannot load the model from"):
        import_program("inference", "app").create()
