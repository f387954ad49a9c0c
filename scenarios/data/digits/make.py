"""Make the PNG files in this folder from the UCI optical digits that come with scikit-learn.

    uv run --no-project --with scikit-learn --with pillow scenarios/data/digits/make.py

The choice of images is fixed: running it again writes the same files.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

HERE = Path(__file__).resolve().parent
PER_LABEL = {"train": 30, "validation": 10, "test": 20}
BRIGHTEST = 16  # the data set counts inked pixels in 4x4 blocks: 0..16


def main() -> None:
    digits = load_digits()
    choose = random.Random(0)
    for split in PER_LABEL:
        shutil.rmtree(HERE / split, ignore_errors=True)
    for label in range(10):
        indices = [index for index, target in enumerate(digits.target) if target == label]
        choose.shuffle(indices)
        for split, count in PER_LABEL.items():
            folder = HERE / split / str(label)
            folder.mkdir(parents=True)
            for number, index in enumerate(indices[:count], start=1):
                grey = bytes(int(value) * 255 // BRIGHTEST for value in digits.images[index].flat)
                Image.frombytes("L", (8, 8), grey).save(folder / f"{number:04}.png", optimize=True)
            del indices[:count]


if __name__ == "__main__":
    main()
