"""Batch transform jobs: the API, records and filters, and how one runs."""
