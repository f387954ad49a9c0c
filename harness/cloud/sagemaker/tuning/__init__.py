"""Hyperparameter tuning jobs: the API, the search, and how one runs."""
