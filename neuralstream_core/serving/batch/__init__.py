"""Batch jobs: a file of entities in, a file of predictions out, on a distributed engine.

`Jobs` keeps the records. A state machine (``statemachines/batch_predict.asl.json``) calls the tasks of a job
through `TaskRunner`: ``plan`` once, ``chunk`` for every chunk in any order and as often as needed, ``finish``
once.
"""
