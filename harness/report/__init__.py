"""Reports: what happens in a run and what came of it, for people to read."""
