from tests.support.calling import caller, registered
from tests.support.registry import house

__all__ = ["caller", "house", "registered"]
