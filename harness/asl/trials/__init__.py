"""One state, tried by itself: what TestState does, over the very states that executions run."""
