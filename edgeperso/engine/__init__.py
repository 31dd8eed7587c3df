"""llama.cpp behind one door: load a GGUF, generate, score. The only importer of llama_cpp."""

from __future__ import annotations

from edgeperso.engine.engine import Engine
from edgeperso.engine.generation import Generation
from edgeperso.engine.results import GenerationStats, ModelInfo, Sampling, Score

__all__ = ["Engine", "Generation", "GenerationStats", "ModelInfo", "Sampling", "Score"]
