"""Differential privacy of a federation: what is clipped, what is noised, what it costs, and what a device has spent.

A person is protected, not a text: two runs are neighbours when one has all that a person ever sent, and the other
nothing of it. The rooms: `gaussian` (formulas of one mechanism), `plans` (what a run promises), `clipping`, `noise`,
`accounting` (ε of a run, by dp-accounting), `ledger` (ε of a device).
"""
