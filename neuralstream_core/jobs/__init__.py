"""Jobs of every kind: their records, how they are listed and started, and how their tasks are run.

What a kind is asked to do and what it answers belongs to the package that does it: that declares a subclass
of `JobRecord` with the fields of its request and an ``outcome``, submits a `NewJob`, and gives `TaskRunner`
its `Work`. ``neuralstream_lambda.jobs`` names the records of all kinds, ``functions/dispatch`` the state
machine of each.
"""
