"""Serving: from an entity to a prediction.

::

    router = Router(registry.served, registry.version)
    models = Models(artifacts.get, DiskCache(folder))
    engine = Engine(router, models, store, recorder, system_clock)
    engine.predict("churn", "u1").outcome.prediction

Import the module you need: `routing` and `binding` are cheap, `engine` needs the feature store, and ONNX
Runtime is imported only when the first ONNX artifact is loaded.
"""
