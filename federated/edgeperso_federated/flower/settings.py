"""A run's configuration as Flower hands it over: flat words and numbers, declared in ``federated/pyproject.toml``.

====================== =============================================================================================
``federation``         the name that people consented to
``model``              the GGUF file that the adapter is for, on the server; clients have their own copy
``folder``             where the server keeps the run, to go on from after a crash; holds secrets (0700)
``method``             see `Method`; ``rank``, ``alpha``, ``targets`` of the LoRA
``rounds``             how many
``population``         people who may be asked
``cohort``             answers that a round is planned for; ``asked`` for that (0: as many); ``quorum`` to count at all
``bound``              to which an update is clipped
``sampling``           `Sampling`; ``weighting`` `Weighting`; ``robust`` `Robust`; ``hostile`` for Multi-Krum
``secure``             whether the server sees sums alone; ``group`` clients in one (0: all); ``roster`` names a file
                       with a person's identity a line (`edgeperso fl identity`)
``privacy``            ``none``, ``central`` (``noise`` is its multiplier) or ``local`` (``epsilon`` of all rounds);
                       ``delta`` of both
``rate`` … ``minutes`` how a device trains
``check``              whether a new adapter is held against the general texts before it is published
``wait-s``             for people to connect, at the beginning; ``deadline-s`` of a round's answers
====================== =============================================================================================
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgeperso.adaptation.plan import LoraShape
from edgeperso.engine.gguf import check_model_file
from edgeperso.engine.origin import base_sha256
from edgeperso.errors import UsageError
from edgeperso.files import write_whole
from edgeperso_federated.aggregation import Weighting
from edgeperso_federated.broker.task import FEDERATION, LocalPlan
from edgeperso_federated.errors import FederationError
from edgeperso_federated.factors import Method, frame_of
from edgeperso_federated.orders import Robust, RunPlan
from edgeperso_federated.privacy.plans import Central, Local, Sampling
from edgeperso_federated.secagg import LEAST_COHORT

__all__ = ["DEFAULTS", "Books", "Settings"]

DEFAULTS: Final[Mapping[str, str | int | float | bool]] = {
    "federation": "default",
    "model": "",
    "folder": "",
    "method": "ffa",
    "rank": 8,
    "alpha": 16.0,
    "targets": "attn_q attn_k attn_v attn_output",
    "rounds": 3,
    "population": 3,
    "cohort": 3,
    "asked": 0,
    "quorum": 3,
    "bound": 1.0,
    "sampling": "fixed",
    "weighting": "equal",
    "robust": "none",
    "hostile": 0,
    "secure": True,
    "group": 0,
    "roster": "",
    "privacy": "central",
    "noise": 1.0,
    "epsilon": 8.0,
    "delta": 1e-6,
    "rate": 1e-3,
    "epochs": 1,
    "max-tokens": 512,
    "minutes": 5.0,
    "check": True,
    "wait-s": 300.0,
    "deadline-s": 900.0,
}
"""All that a run may set, and what it is else; the same as in ``federated/pyproject.toml``."""


@dataclass(frozen=True, slots=True)
class Books:
    """What a run is known by from its first start on, kept in its folder.

    Args:
        run: its name.
        seed: of whom it asks; secret.
        adapter_seed: public, hex.
        nodes: Flower's identities of nodes, in the order of clients' numbers.
    """

    run: str
    seed: int
    adapter_seed: str
    nodes: tuple[int, ...] = ()

    @classmethod
    def load(cls, folder: Path, federation: str) -> Books:
        """Those of the folder, or new ones.

        Raises:
            FederationError: what is there can't be read.
        """
        try:
            said = json.loads((folder / "run.json").read_text())
            return cls(str(said["run"]), int(said["seed"]), str(said["adapter_seed"]), tuple(map(int, said["nodes"])))
        except FileNotFoundError:
            name = f"{federation[:40]}-{secrets.token_hex(8)}"
            return cls(name, secrets.randbits(64), secrets.token_hex(16))
        except (ValueError, KeyError, TypeError):
            raise FederationError("The folder's run can't be read.", hint="Take another folder.") from None

    def save(self, folder: Path) -> None:
        said = {"run": self.run, "seed": self.seed, "adapter_seed": self.adapter_seed, "nodes": list(self.nodes)}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(folder / "run.json", json.dumps(said).encode())


class Settings:
    """A run's configuration, read and judged.

    Raises:
        UsageError: a word or number of it doesn't fit.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = dict(config)
        self.federation = self._word("federation")
        self.model = Path(self._word("model"))
        self.folder = Path(self._word("folder"))
        self.check = bool(config["check"])
        self.wait_s = float(config["wait-s"])
        self.deadline_s = float(config["deadline-s"])
        if FEDERATION.fullmatch(self.federation) is None:
            raise UsageError("A federation's name is 1 to 64 of a-z, 0-9 and dashes.")
        if not self._word("model") or not self.folder.is_absolute():
            raise UsageError("A run needs a model, and an absolute path of a folder.")

    def plan(self, books: Books) -> RunPlan:
        """Raises:
        UsageError: numbers that don't go together.
        ModelNotFound, ModelCorrupt, ModelUnsupported: the file is no model.
        """
        config = self._config
        shape = LoraShape(int(config["rank"]), float(config["alpha"]), tuple(self._word("targets").split()))
        frame = frame_of(
            check_model_file(self.model), base_sha256(self.model), shape, bytes.fromhex(books.adapter_seed)
        )
        return RunPlan(
            run=books.run,
            frame=frame,
            method=self._one_of(Method, "method"),
            rounds=int(config["rounds"]),
            population=int(config["population"]),
            cohort=int(config["cohort"]),
            asked=self._asked,
            quorum=int(config["quorum"]),
            bound=float(config["bound"]),
            seed=books.seed,
            sampling=self._one_of(Sampling, "sampling"),
            weighting=self._one_of(Weighting, "weighting"),
            robust=self._one_of(Robust, "robust"),
            privacy=self._privacy(),
            secure=bool(config["secure"]),
            group=int(config["group"]),
            hostile=int(config["hostile"]),
        )

    def local_plan(self) -> LocalPlan:
        """How a device trains."""
        config = self._config
        return LocalPlan(
            rate=float(config["rate"]),
            epochs=int(config["epochs"]),
            max_tokens=int(config["max-tokens"]),
            minutes=float(config["minutes"]),
        )

    def roster(self) -> frozenset[bytes]:
        """The identities that may take part in a secure sum.

        Raises:
            UsageError: the file isn't there, or a line isn't 64 hex digits.
        """
        try:
            lines = Path(self._word("roster")).read_text().split()
            found = frozenset(map(bytes.fromhex, lines))
        except (OSError, ValueError):
            raise UsageError("The roster is a file with an identity of 64 hex digits a line.") from None
        if len(found) < LEAST_COHORT or any(len(one) != 32 for one in found):
            raise UsageError(f"A secure sum needs a roster of {LEAST_COHORT} identities or more.")
        return found

    # ---- within ----------------------------------------------------------------------------------------------------

    @property
    def _asked(self) -> int:
        return int(self._config["asked"]) or int(self._config["cohort"])

    def _privacy(self) -> Central | Local | None:
        config = self._config
        bound, delta = float(config["bound"]), float(config["delta"])
        match self._word("privacy"):
            case "none":
                return None
            case "local":
                return Local.of_budget(bound, float(config["epsilon"]), delta, int(config["rounds"]))
            case "central":
                counts = int(config["cohort"]), self._asked, int(config["population"])
                return Central(bound, float(config["noise"]), *counts, delta, self._one_of(Sampling, "sampling"))
            case _:
                raise UsageError("A run's privacy is none, central or local.")

    def _word(self, name: str) -> str:
        value = self._config.get(name)
        if not isinstance(value, str):
            raise UsageError(f"The run's {name} is no word.")
        return value

    def _one_of(self, kinds: Any, name: str) -> Any:
        try:
            return kinds(self._word(name))
        except ValueError:
            raise UsageError(f"The run's {name} is one of: {', '.join(kinds)}.") from None
