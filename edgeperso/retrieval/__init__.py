"""From a question to the memories that bear on it, best first."""

from edgeperso.retrieval.currency import asks_for_present, favour_current
from edgeperso.retrieval.question import asks_for_time
from edgeperso.retrieval.retriever import Retriever

__all__ = ["Retriever", "asks_for_present", "asks_for_time", "favour_current"]
