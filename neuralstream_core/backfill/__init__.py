"""Backfills: feature values of the past from a file, through the checks and the merge of every write.

A backfill is a job (`neuralstream_core.jobs`): ``plan`` pins the file and the view and cuts the file into
chunks, each ``chunk`` writes its rows to the online store and the history, ``finish`` counts them.
"""
