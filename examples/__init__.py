"""Examples a person runs."""
