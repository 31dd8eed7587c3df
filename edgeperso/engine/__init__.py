"""llama.cpp behind one door: load a GGUF, generate, score, optimize. The only importer of llama_cpp."""

from __future__ import annotations

from edgeperso.engine.adapters.file import adapter_from_bytes, adapter_to_bytes
from edgeperso.engine.adapters.values import Adapter, Lora, LoraPair, SoftPrompt, Worn
from edgeperso.engine.chat import ChatMessage, ChatSpan, render_chat, renderer
from edgeperso.engine.engine import DEFAULT_N_CTX, Engine
from edgeperso.engine.generation import Generation
from edgeperso.engine.likeness import Likeness
from edgeperso.engine.optimize import Candidate, OptimizeReport, best_file, optimize
from edgeperso.engine.quoting import QuotedAnswer
from edgeperso.engine.results import GenerationStats, ModelInfo, Sampling, Score
from edgeperso.engine.speed import BenchReport, Speed, bench
from edgeperso.engine.splice import MOST_NOTE_TOKENS, Part, Splicer

__all__ = [
    "DEFAULT_N_CTX",
    "MOST_NOTE_TOKENS",
    "Adapter",
    "BenchReport",
    "Candidate",
    "ChatMessage",
    "ChatSpan",
    "Engine",
    "Generation",
    "GenerationStats",
    "Likeness",
    "Lora",
    "LoraPair",
    "ModelInfo",
    "OptimizeReport",
    "Part",
    "QuotedAnswer",
    "Sampling",
    "Score",
    "SoftPrompt",
    "Speed",
    "Splicer",
    "Worn",
    "adapter_from_bytes",
    "adapter_to_bytes",
    "bench",
    "best_file",
    "optimize",
    "render_chat",
    "renderer",
]
