from tests.support.features import any_store, clock, door, functions, history_environ, store

__all__ = ["any_store", "clock", "door", "functions", "history_environ", "store"]
