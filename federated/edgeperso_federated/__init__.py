"""Federated learning of shared adapters on Flower: raw data stays at home, and what leaves is checked, masked, noised.

The rooms, from the bottom up: values and their checks (`update`, `errors`), arithmetic (`factors`, `aggregation`,
`robust`), protection (`secagg`, `privacy`), the work of a client and of a server without any transport (`local`,
`rounds`), the process that alone opens the vault (`broker`), and what carries it (`simulation`, `flower`, `deploy`).
"""
