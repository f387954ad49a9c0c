"""harness: run an ML pipeline on AWS Step Functions locally, then promote the same artifacts."""

__version__ = "0.1.0"
