"""Training jobs: the API, one job and how it runs, and what comes out of it."""
