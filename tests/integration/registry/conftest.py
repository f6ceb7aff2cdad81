from tests.support.registry import house

__all__ = ["house"]
