"""Fixtures: moto as a server process, with a fresh table and bucket."""
