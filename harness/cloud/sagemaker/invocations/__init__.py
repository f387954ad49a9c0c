"""Invoking endpoints: at once, streamed, asynchronously; and what is captured of it."""
