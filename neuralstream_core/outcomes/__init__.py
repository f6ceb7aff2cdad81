"""Is the model right: predictions by id, what became of them, and which version is better.

Predictions and outcomes are rows of two feature views of the history (`neuralstream_core.outcomes.views`).
"""
