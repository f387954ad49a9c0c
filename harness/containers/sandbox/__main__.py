"""Starts the sandbox: ``python -I -S`` runs this folder, or this file."""

import os
import sys

if __name__ == "__main__":
    # The neighbours are a package of their own here; after the standard library, which they must not hide.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from sandbox.start import main  # type: ignore[import-not-found]

    main(sys.argv[1:])
