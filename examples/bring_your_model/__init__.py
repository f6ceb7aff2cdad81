"""From a fitted scikit-learn pipeline to a prediction."""
