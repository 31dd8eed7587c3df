"""The federation on Flower: what carries a run between machines, and nothing that decides.

`settings` reads a run's configuration, `server_app` drives `rounds.FederatedRun`, `secure` the rounds that are summed
in secret, `link` asks clients over Flower's grid, `client_app` carries bytes between Flower and the broker, `wire` says
in which form. Only this room imports flwr.
"""
