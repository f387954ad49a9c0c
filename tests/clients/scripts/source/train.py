"""What a user of the toolkit writes: hyperparameters are arguments, places are variables."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from helper import rows_of

parser = argparse.ArgumentParser()
parser.add_argument("--factor", type=float, default=1.0)
parser.add_argument("--fail", default="")
parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
arguments = parser.parse_args()

rows = rows_of(arguments.train)
print(f"training on {len(rows)} rows with {arguments.factor}")
if arguments.fail:
    raise ValueError("told to fail")
seen = {name: value for name, value in os.environ.items() if name.startswith("SM_")}
Path(arguments.model_dir, "model.json").write_text(
    json.dumps({"factor": arguments.factor, "rows": rows, "variables": seen})
)
Path(os.environ["SM_OUTPUT_DATA_DIR"], "report.txt").write_text("done")
