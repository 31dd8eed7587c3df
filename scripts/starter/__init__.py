"""The starter adapter: a small LoRA that teaches the default model to answer from dated notes.

``python -m scripts.starter generate|train|measure``: conversations of invented people by templates, an adapter trained
on them by `edgeperso.adaptation.training`, and what it answers about the development lives.
"""
