from tests.support.features import any_store, clock, door, functions, history_environ, store
from tests.support.promises import view

__all__ = ["any_store", "clock", "door", "functions", "history_environ", "store", "view"]
