"""The trained network, as the training container writes it.

Files::

    model.npz    the arrays hidden_weights, hidden_bias, output_weights, output_bias
    model.json   {"labels": ["0", ...], "image_size": 8}
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 16_000_000


def decode(body: bytes) -> Image.Image:
    """Decode an image.

    Raises:
        ValueError: It is none.
    """
    try:
        image = Image.open(io.BytesIO(body))
        if image.width * image.height > MAX_PIXELS:  # said by the header; nothing is unpacked yet
            raise ValueError(f"the image has {image.width} x {image.height} pixels, more than {MAX_PIXELS}")
        image.load()
    except UnidentifiedImageError as error:
        raise ValueError("the body is not an image") from error
    except (OSError, SyntaxError) as error:
        raise ValueError(f"the image is damaged: {error}") from error
    return image


@dataclass(frozen=True)
class Network:
    """Weights, and what the outputs mean."""

    hidden_weights: np.ndarray
    hidden_bias: np.ndarray
    output_weights: np.ndarray
    output_bias: np.ndarray
    labels: list[str]
    image_size: int

    @classmethod
    def load(cls, folder: Path) -> Network:
        """Read a model.

        Raises:
            OSError, ValueError, KeyError: The files are missing or not a model's.
        """
        description = json.loads((folder / "model.json").read_text())
        with np.load(folder / "model.npz", allow_pickle=False) as arrays:
            names = ("hidden_weights", "hidden_bias", "output_weights", "output_bias")
            weights = {name: arrays[name] for name in names}
        return cls(**weights, labels=description["labels"], image_size=description["image_size"])

    def classify(self, image: Image.Image) -> str:
        """The likeliest label."""
        grey = image.convert("L")
        if grey.size != (self.image_size, self.image_size):
            grey = grey.resize((self.image_size, self.image_size), Image.Resampling.BILINEAR)
        pixels = np.asarray(grey, dtype=np.float64).reshape(-1) / 255
        hidden = np.maximum(pixels @ self.hidden_weights + self.hidden_bias, 0)
        return self.labels[int((hidden @ self.output_weights + self.output_bias).argmax())]
