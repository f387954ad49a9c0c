"""A network with one hidden layer, in numpy, and how it learns.

Files of a saved model::

    model.npz    the arrays hidden_weights, hidden_bias, output_weights, output_bias
    model.json   {"labels": ["0", ...], "image_size": 8}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

MOMENTUM = 0.9


def features(image: Image.Image, size: int) -> np.ndarray:
    """An image as the network sees it: `size` x `size` grey values from 0 to 1, in one row."""
    grey = image.convert("L")
    if grey.size != (size, size):
        grey = grey.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(grey, dtype=np.float64).reshape(-1) / 255


def macro_f1(truth: np.ndarray, predicted: np.ndarray, labels: int) -> float:
    """Mean F1 over the labels 0..labels-1, with 0 for one that occurs in neither list."""
    scores = []
    for label in range(labels):
        hits = np.count_nonzero((truth == label) & (predicted == label))
        occurrences = np.count_nonzero(truth == label) + np.count_nonzero(predicted == label)
        scores.append(2 * hits / occurrences if occurrences else 0.0)
    return float(np.mean(scores))


@dataclass
class Network:
    """Weights, and what the outputs mean.

    Attributes:
        weights: The four arrays of model.npz, by name.
        labels: Label of each output.
        image_size: See `features`.
    """

    weights: dict[str, np.ndarray]
    labels: list[str]
    image_size: int

    @classmethod
    def random(
        cls, inputs: int, hidden: int, labels: list[str], image_size: int, random: np.random.Generator
    ) -> Network:
        """An untrained network."""
        weights = {
            "hidden_weights": random.normal(0, np.sqrt(2 / inputs), (inputs, hidden)),
            "hidden_bias": np.zeros(hidden),
            "output_weights": random.normal(0, np.sqrt(1 / hidden), (hidden, len(labels))),
            "output_bias": np.zeros(len(labels)),
        }
        return cls(weights, labels, image_size)

    def hidden(self, pixels: np.ndarray) -> np.ndarray:
        """Activations of the hidden layer."""
        return np.maximum(pixels @ self.weights["hidden_weights"] + self.weights["hidden_bias"], 0)

    def scores(self, hidden: np.ndarray) -> np.ndarray:
        """Log-odds of each label, up to a constant."""
        return hidden @ self.weights["output_weights"] + self.weights["output_bias"]

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Index of the likeliest label of each row."""
        return self.scores(self.hidden(pixels)).argmax(axis=1)

    def save(self, folder: Path) -> None:
        """Write the model's files."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "model.npz", **self.weights)
        description = {"labels": self.labels, "image_size": self.image_size}
        (folder / "model.json").write_text(json.dumps(description) + "\n")


class Learner:
    """Stochastic gradient descent with momentum on the cross-entropy."""

    def __init__(self, network: Network, learning_rate: float, l2: float) -> None:
        self._network = network
        self._learning_rate = learning_rate
        self._l2 = l2
        self._velocity = {name: np.zeros_like(array) for name, array in network.weights.items()}

    def step(self, pixels: np.ndarray, targets: np.ndarray) -> float:
        """Learn from one batch; return its loss before the step."""
        weights = self._network.weights
        hidden = self._network.hidden(pixels)
        scores = self._network.scores(hidden)
        scores -= scores.max(axis=1, keepdims=True)
        log_probabilities = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        rows = np.arange(len(targets))
        loss = -log_probabilities[rows, targets].mean()

        output_error = np.exp(log_probabilities)
        output_error[rows, targets] -= 1
        output_error /= len(targets)
        hidden_error = (output_error @ weights["output_weights"].T) * (hidden > 0)
        gradients = {
            "hidden_weights": pixels.T @ hidden_error + self._l2 * weights["hidden_weights"],
            "hidden_bias": hidden_error.sum(axis=0),
            "output_weights": hidden.T @ output_error + self._l2 * weights["output_weights"],
            "output_bias": output_error.sum(axis=0),
        }
        for name, gradient in gradients.items():
            velocity = self._velocity[name]
            velocity *= MOMENTUM
            velocity -= self._learning_rate * gradient
            weights[name] += velocity
        return float(loss)
