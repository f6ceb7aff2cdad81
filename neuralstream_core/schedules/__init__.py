"""Schedules of batch predictions: when to start which job.

The table holds the schedules (`store.Schedules`), and EventBridge Scheduler gets what the table says
(`reconciler.Reconciler`). Each delivery starts one job (`scheduling.Scheduling.start`), whose record names
the schedule and the scheduled time.
"""
