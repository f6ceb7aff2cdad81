"""Monitoring: counts of what was served in fixed bins, and the statistics and alarms made of them.

`baseline` and `binning` make a profile, `recorder` counts under it, `reader` reads the counts, `drift` and
`stats` make reports of them (`reports` puts the routes' answers together), `evaluation` makes alarms.
"""
