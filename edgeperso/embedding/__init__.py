"""Text to vectors: the ONNX embedder, what of a memory is embedded, and the filling of a vault's vector spaces."""

from edgeperso.embedding.load import ModelLocator, load_embedder
from edgeperso.embedding.onnx import OnnxEmbedder
from edgeperso.embedding.passage import passage_text
from edgeperso.embedding.spaces import active_space, embed_missing, reindex

__all__ = [
    "ModelLocator",
    "OnnxEmbedder",
    "active_space",
    "embed_missing",
    "load_embedder",
    "passage_text",
    "reindex",
]
