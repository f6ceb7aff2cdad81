"""Training sets: labels joined to the history of feature views, as jobs."""
