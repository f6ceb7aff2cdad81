"""Fixtures: the whole laptop stack."""
