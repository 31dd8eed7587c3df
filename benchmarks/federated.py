"""What a round of a federation costs without its training: the inline runner beside Flower's engine, and whether memory
grows with clients.

Every client sends an update of ``--update-bytes`` in the form that real ones have; making it is not counted, since
training is left out as well. Each is read, judged by the schema, added up, and forgotten. Clients have one of eight
different updates, so that no work is saved by their being alike.

- ``inline_s``: seconds of a round; the median.
- ``inline_mb_per_s``: megabytes of updates that were taken in a second.
- ``ray_s``: the same with Flower's stock `FedAvg` on its engine Ray, for updates of the same bytes. The first round is
  left out on both sides: Ray starts its workers in it.
- ``inline_vs_ray``: how many times as fast the inline runner is; left out where Flower isn't installed.
- ``rss_growth``: peak memory at the most of ``--memory-clients`` over that at the fewest, each in a process of its own.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks._flower import flower_rounds
from benchmarks._report import arguments, report
from edgeperso.adaptation.plan import LoraShape
from edgeperso.errors import UsageError
from edgeperso_federated.factors import Frame, Method, fields_for
from edgeperso_federated.orders import Order, RunPlan
from edgeperso_federated.privacy.noise import NoiseKey
from edgeperso_federated.rounds import FederatedRun
from edgeperso_federated.simulation.runner import run_rounds
from edgeperso_federated.update import Tensors, Update, encoded_bytes, update_to_bytes

RANK = 8
MATRICES = 16
DIFFERENT = 8
"""Updates that are not alike."""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--update-bytes", type=int, default=1 << 20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-clients", type=int, nargs="*", default=[100, 1000, 10000])
    parser.add_argument("--worker", type=int, help="measure the memory of one round with so many clients, and print it")
    options = parser.parse_args()
    if options.worker:
        run_inline(options.worker, options.update_bytes, 1, options.seed)
        print(json.dumps(peak_rss_mb()))
        return
    seconds = median(run_inline(options.clients, options.update_bytes, 1 + options.rounds, options.seed)[1:])
    figures = {"inline_s": seconds, "inline_mb_per_s": options.clients * options.update_bytes / 1e6 / seconds}
    if find_spec("flwr") and find_spec("ray"):
        values = options.update_bytes // (4 * MATRICES)
        beside = median(flower_rounds(options.clients, MATRICES, values, 1 + options.rounds, options.seed)[1:])
        figures |= {"ray_s": beside, "inline_vs_ray": beside / seconds}
    else:
        sys.stderr.write("Flower's simulation isn't installed: no figure beside it.\n")
    peaks = {count: _peak(count, options.update_bytes, options.seed) for count in options.memory_clients}
    figures |= {f"rss_mb_{count}": peak for count, peak in peaks.items()}
    if len(peaks) > 1:
        figures["rss_growth"] = peaks[max(peaks)] / peaks[min(peaks)]
    report("federated", figures, n=options.clients, seed=options.seed, as_json=options.json)


class Ready:
    """Clients whose answers were made beforehand."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers

    def answer(self, client: int, _order: Order, _held: Tensors) -> bytes | None:
        return self._answers[client % len(self._answers)]


def run_inline(clients: int, update_bytes: int, rounds: int, seed: int) -> list[float]:
    """Seconds of each round."""
    plan = run_plan(clients, update_bytes, rounds, seed)
    run = FederatedRun(plan, NoiseKey.of_simulation(seed))
    ready = Ready([update_of(plan, number) for number in range(DIFFERENT)])
    ended = [perf_counter()]
    run_rounds(run, ready, after=lambda _record: ended.append(perf_counter()))
    counted = {record.summed for record in run.state.records}
    if counted != {clients}:
        raise UsageError("An update wasn't counted: the round took less than it was asked to.")
    return np.diff(ended).tolist()


def run_plan(clients: int, update_bytes: int, rounds: int, seed: int) -> RunPlan:
    """A run whose updates are ``update_bytes`` long, to a row of a matrix."""
    names = [f"blk.{number}.attn_q" for number in range(MATRICES)]

    def frame(rows: int) -> Frame:
        matrices = dict.fromkeys(names, (rows, 64))
        return Frame("0" * 64, "llama", LoraShape(RANK, 16.0, ("attn_q",)), matrices, 64, seed)

    rows = max(1, round(update_bytes / (4 * RANK * MATRICES)))
    while rows > 1 and _length(frame(rows)) > update_bytes:
        rows -= 1
    return RunPlan(
        run="benchmark",
        frame=frame(rows),
        method=Method.FFA,
        rounds=rounds,
        population=clients,
        cohort=clients,
        asked=clients,
        bound=10.0,
        seed=seed,
    )


def update_of(plan: RunPlan, number: int) -> bytes:
    random = np.random.default_rng([plan.seed, number])
    fields = fields_for(plan.frame, plan.method, 1)
    size = sum(one.size for one in fields)
    tensors = {
        one.name: (random.standard_normal(one.shape, np.float32) / np.float32(size**0.5)).astype(np.float32)
        for one in fields
    }
    return update_to_bytes(Update(tensors, 1 + number, {}))


def peak_rss_mb() -> float:
    """Of this process. Linux's ``ru_maxrss`` begins with that of the parent, so it is read elsewhere."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(found[1]) / 1e3 if found else 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def _length(frame: Frame) -> int:
    fields = fields_for(frame, Method.FFA, 1)
    return encoded_bytes(Update({one.name: np.broadcast_to(np.float32(0), one.shape) for one in fields}, 1, {}))


def _peak(clients: int, update_bytes: int, seed: int) -> float:
    words = ["--worker", str(clients), "--update-bytes", str(update_bytes), "--seed", str(seed)]
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.federated", *words], check=True, capture_output=True, text=True
    )
    return float(json.loads(said.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
