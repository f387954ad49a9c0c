"""Train a classifier of small images: the entry point of the training container.

Reads, below SAGEMAKER_BASE_DIR (``/opt/ml``)::

    input/config/hyperparameters.json      see `Hyperparameters`
    input/data/train/<label>/*.png         what to learn from
    input/data/validation/<label>/*.png    what to report the score of each epoch on

and writes ``model/model.npz`` and ``model/model.json``; or, when it cannot, ``output/failure``.

A SIGTERM (StopTrainingJob, or the job's time limit) ends training early and keeps what has been learned.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from dataclasses import dataclass, fields
from pathlib import Path

import model
import numpy as np
from PIL import Image, UnidentifiedImageError

FAILURE_LIMIT = 1024  # characters of output/failure that SageMaker keeps


class InputError(Exception):
    """The job's input cannot be used."""


@dataclass(frozen=True)
class Hyperparameters:
    """What a job may set.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images per step.
        learning_rate: Step size.
        hidden: Units of the hidden layer.
        l2: Weight decay.
        image_size: Images are scaled to a square of this many pixels.
        seed: Of the initial weights and the order of images.
    """

    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 0.1
    hidden: int = 64
    l2: float = 1e-4
    image_size: int = 8
    seed: int = 0

    @classmethod
    def read(cls, path: Path) -> Hyperparameters:
        """Read hyperparameters.json: an object of strings, in which the SDKs put JSON text."""
        given = json.loads(path.read_text()) if path.exists() else {}
        types = {field.name: int if field.type == "int" else float for field in fields(cls)}
        values = {}
        for name, text in given.items():
            # Put there by the SageMaker SDK for its own toolkit, and by SageMaker in a tuning job.
            if name.startswith("sagemaker_") or name == "_tuning_objective_metric":
                continue
            if name not in types:
                raise InputError(f"unknown hyperparameter {name}; known are {', '.join(types)}")
            try:
                values[name] = types[name](text.strip('"'))
            except ValueError:
                raise InputError(
                    f"hyperparameter {name} must be {types[name].__name__}, not {text}"
                ) from None
            positive = values[name] > 0 or (values[name] == 0 and name in ("seed", "l2"))
            if not positive or values[name] == float("inf"):
                raise InputError(f"hyperparameter {name} must be positive, not {text}")
        return cls(**values)


class Stop:
    """Remembers that SIGTERM has come."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGTERM, self._request)

    def _request(self, signum: int, frame: object) -> None:
        self.requested = True


def read_channel(folder: Path, size: int) -> tuple[np.ndarray, list[str]]:
    """Read the images of a channel.

    Returns:
        The pixels, one row per image, and the labels: names of the folders the images are in.

    Raises:
        InputError: There is no such channel, it has no images, or one that cannot be decoded.
    """
    if not folder.is_dir():
        raise InputError(f"there is no channel {folder.name}")
    pixels, labels = [], []
    for path in sorted(folder.glob("*/*.png")):
        try:
            with Image.open(path) as image:
                pixels.append(model.features(image, size))
        except (UnidentifiedImageError, OSError) as error:
            raise InputError(f"{path.relative_to(folder.parent)} is not an image: {error}") from error
        labels.append(path.parent.name)
    if not labels:
        raise InputError(f"channel {folder.name} has no images (<label>/<name>.png)")
    return np.stack(pixels), labels


def train(base: Path, stop: Stop) -> None:
    """Do the job.

    Raises:
        InputError: Hyperparameters or channels cannot be used.
    """
    parameters = Hyperparameters.read(base / "input/config/hyperparameters.json")
    data = base / "input/data"
    pixels, names = read_channel(data / "train", parameters.image_size)
    validation_pixels, validation_names = read_channel(data / "validation", parameters.image_size)
    labels = sorted(set(names))
    unknown = set(validation_names) - set(labels)
    if unknown:
        raise InputError(f"labels of channel validation that are not in train: {', '.join(sorted(unknown))}")
    targets = np.array([labels.index(name) for name in names])
    validation_targets = np.array([labels.index(name) for name in validation_names])
    print(
        f"{len(names)} images to learn, {len(validation_names)} to validate, {len(labels)} labels", flush=True
    )

    random = np.random.default_rng(parameters.seed)
    network = model.Network.random(pixels.shape[1], parameters.hidden, labels, parameters.image_size, random)
    learner = model.Learner(network, parameters.learning_rate, parameters.l2)
    for epoch in range(1, parameters.epochs + 1):
        losses = []
        order = random.permutation(len(targets))
        for start in range(0, len(order), parameters.batch_size):
            batch = order[start : start + parameters.batch_size]
            losses.append(learner.step(pixels[batch], targets[batch]))
        score = model.macro_f1(validation_targets, network.predict(validation_pixels), len(labels))
        print(f"epoch={epoch} train_loss={np.mean(losses):.4f} validation_f1={score:.4f}", flush=True)
        if not np.isfinite(losses).all():
            raise InputError(f"training diverged in epoch {epoch}: learning_rate is too high")
        if stop.requested:
            print(f"stopped after epoch {epoch}", flush=True)
            break
    network.save(base / "model")


def main(arguments: list[str]) -> int:
    """Run `train`; SageMaker gives that word as the only argument."""
    if arguments != ["train"]:
        print(f"usage: train.py train (not {' '.join(arguments) or 'nothing'})", file=sys.stderr)
        return 2
    stop = Stop()
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    try:
        train(base, stop)
    except Exception as error:
        expected = isinstance(error, InputError)
        if not expected:
            traceback.print_exc()
        text = str(error) if expected else f"{type(error).__name__}: {error}"
        print(text, file=sys.stderr, flush=True)
        failure = base / "output/failure"
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text(text[:FAILURE_LIMIT])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
