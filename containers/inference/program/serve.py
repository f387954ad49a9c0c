"""Start the web server: the entry point of the inference container."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Become gunicorn; SageMaker gives the word `serve` as the only argument."""
    if arguments != ["serve"]:
        print(f"usage: serve.py serve (not {' '.join(arguments) or 'nothing'})", file=sys.stderr)
        return 2
    here = Path(__file__).resolve().parent
    command = [sys.executable, "-m", "gunicorn", "--config", str(here / "gunicorn.conf.py")]
    return os.execv(sys.executable, [*command, "--chdir", str(here), "app:create()"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
