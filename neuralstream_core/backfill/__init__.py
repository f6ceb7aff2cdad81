"""Jobs that write: feature values (`work`) and outcomes (`outcome_work`) from a file, and the online store
from the history (`rebuild_work`); and the comparison of the two (`consistency`).

Feature values and outcomes are imports (`import_work`): ``plan`` pins the file and cuts it into chunks, each
``chunk`` takes its rows in, ``finish`` counts them.
"""
