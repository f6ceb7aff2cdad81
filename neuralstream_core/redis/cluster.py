"""The port over a cluster."""
