"""Starts the template process; as a program of its own, by the path of this file."""

import json
import os
import sys

if __name__ == "__main__":
    config = json.loads(sys.argv[1])
    present = len(sys.path)
    # After the standard library, which the neighbours of the two packages must not hide.
    sys.path += [
        os.path.dirname(folder) for folder in (os.path.dirname(os.path.abspath(__file__)), config["sandbox"])
    ]
    from zygote.start import main  # type: ignore[import-not-found]

    del sys.path[present:]
    main(config)
