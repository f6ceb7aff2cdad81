"""Fixtures: real Redis processes."""
