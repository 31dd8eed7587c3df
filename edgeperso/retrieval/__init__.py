"""From a question to the memories that bear on it, best first."""

from edgeperso.retrieval.currency import asks_for_present, favour_current
from edgeperso.retrieval.retriever import Retriever

__all__ = ["Retriever", "asks_for_present", "favour_current"]
