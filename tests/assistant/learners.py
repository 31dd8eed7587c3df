"""An assistant on an engine of characters, and a training that takes no time."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeperso.adaptation.plan import Plan, SoftShape
from edgeperso.adaptation.training import Trained
from edgeperso.engine.adapters.values import Lora, Worn

toys = runpy.run_path(str(Path(__file__).parents[1] / "adaptation" / "toy.py"))
lora, soft, Toy, spoken = toys["lora"], toys["soft"], toys["Toy"], toys["spoken"]

NOW_MS = 1_760_000_000_000
DAY_MS = 86_400_000
THINGS = ("the bridge", "a red kettle", "the far harbour", "my garden", "an old radio", "the pear tree", "our stairs",
    "a letter", "the orchard wall", "my bicycle", "a map of Ghent", "the piano", "some plums", "the night train",
    "a wool coat", "the weather house", "her violin", "a jar of nails", "the lantern", "two oars")  # fmt: skip
VERBS = ("painted", "mended", "found", "lost", "sold", "carried", "drew", "washed", "bought", "watched")


def notes(count: int) -> list[str]:
    return [
        f"Today I {VERBS[n % 10]} {THINGS[n % 20]} and was {VERBS[n * 3 % 10]} {n} times over." for n in range(count)
    ]


class Trainer:
    """Stands in for `edgeperso.adaptation.training.train`: every adapter is a new one. It notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.saves: list[bytes] = []
        self.stopped = "done"
        self.during: Any = None

    def __call__(self, model: Path, base: str, examples: Sequence[Any], plan: Plan, **rest: Any) -> Trained:
        self.asked.append({"examples": examples, "plan": plan, **rest})
        state = rest["state"]
        self.saves.append(state.load() or b"")
        state.save(b"state %d" % len(self.asked))
        if self.during is not None:
            self.during()
        if self.stopped == "done":
            state.drop()
        adapter = soft(base) if isinstance(plan.shape, SoftShape) else lora(base, seed=len(self.asked))
        return Trained(adapter, 3, 300, 50.0, (3.0, 2.5, 2.0), self.stopped)  # type: ignore[arg-type]

    @property
    def texts(self) -> list[str]:
        return [spoken(example.tokens) for example in self.asked[-1]["examples"]]


def helps(gain: float = 0.5, harm: float = 0.0) -> Any:
    """Losses under which anything worn lowers those of personal texts by ``gain`` and raises the others by ``harm``."""

    def nats(context: str, text: str, worn: Sequence[Worn]) -> float:
        on = sum(one.scale if isinstance(one.adapter, Lora) else 1.0 for one in worn)
        personal = "Today I" in text or "dear" in text
        return 4.0 - on * gain if personal else 3.0 + on * harm

    return nats
