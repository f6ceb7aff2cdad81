"""The laptop stack: Redis, an AWS emulation and an HTTP gateway that run the deployed functions."""
