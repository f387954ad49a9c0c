"""Measurements, as ratios taken in one run. See README.md here."""
