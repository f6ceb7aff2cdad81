"""NeuralStream's product code: feature store, model registry, serving and monitoring.

Nothing in here knows AWS Lambda or HTTP. Clients (Redis, DynamoDB, S3) and the clock are passed in;
the functions under ``functions/`` do the wiring.
"""

__version__ = "1.0.0"
