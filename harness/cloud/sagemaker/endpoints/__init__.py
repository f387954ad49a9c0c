"""Endpoints: configurations, fleets of variants and instances, and how one version follows another."""
