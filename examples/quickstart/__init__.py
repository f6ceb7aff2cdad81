"""Five requests from nothing to a prediction."""
