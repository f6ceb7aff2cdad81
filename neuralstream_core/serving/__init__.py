"""Serving: from an entity to a prediction.

::

    deployments = Deployments(registry.served, registry.version)
    models = Models(artifacts.get, DiskCache(folder))
    engine = Engine(deployments, models, store, recorder, system_clock)
    engine.predict("churn", "u1").answer.prediction

Import the module you need. ONNX Runtime is imported only when the first ONNX artifact is loaded.
"""
