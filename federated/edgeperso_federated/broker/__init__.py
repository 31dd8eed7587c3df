"""The broker: the process that alone opens the vault, and lets out of it one checked update a round.

Flower's client runs code that a server sends. So it holds no key and reads no data: it is a `proxy` that carries bytes
between the server and a Unix socket. On the other side stand, from the bottom up: `protocol` (frames and the words of
refusals), `task` (all that a round may ask for, within bounds), `schemas` (what may leave for it), `consent` (what the
person agreed to), `device` (the vault, as far as a round needs it), `desk` (the decisions, without any connection),
`server` (the socket). `python -m edgeperso_federated.broker` runs it.
"""
