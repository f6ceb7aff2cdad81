"""The trial of a version at registration: load its artifact, run it, compare with what its author expects.

`neuralstream_core.trial.process` starts a child process with bounded memory and time;
`neuralstream_core.trial.child` is what runs there.
"""
