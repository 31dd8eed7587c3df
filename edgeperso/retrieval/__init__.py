"""From a question to the memories that bear on it, best first."""

from edgeperso.retrieval.retriever import Retriever

__all__ = ["Retriever"]
