"""Search structures in memory, kept as encrypted segments in the vault: words (BM25) and vectors."""

from edgeperso.index.columns import Columns
from edgeperso.index.index import Index
from edgeperso.index.words import Analyzer

__all__ = ["Analyzer", "Columns", "Index"]
