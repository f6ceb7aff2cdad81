from tests.support.features import any_store, clock, door, functions, store

__all__ = ["any_store", "clock", "door", "functions", "store"]
