"""Federations of virtual clients in one process, on the same client and server code as real ones.

From the bottom up: `partitions` (who holds which texts), `dropout` (who doesn't answer), `hostile` (who answers
wrongly), `runner` (a run), `metrics` (a line a round), `people` (clients that train), `experiment` (a whole
simulation), `page` (its result).
"""
