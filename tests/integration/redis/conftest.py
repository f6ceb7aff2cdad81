from tests.support.redis_load import port, server

__all__ = ["port", "server"]
