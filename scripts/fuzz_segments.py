"""Feed segments that lie to the index for a while: ``python scripts/fuzz_segments.py --seconds 600``.

Prints what was tried and, at the first defect, its seed and ends with 1; ``--seed N --seconds 0`` tries that one again.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "fuzz"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    given = parser.parse_args()
    attack = importlib.import_module("hostile").attack
    seen: Counter[str] = Counter()
    seed, end = given.seed, time.monotonic() + given.seconds
    while True:
        try:
            outcome = attack(seed)
            seen[f"{outcome.kind}, {'refused' if outcome.refused else 'searched'}"] += 1
        except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
            traceback.print_exc()
            sys.stdout.write(f"a defect at seed {seed}\n")
            return 1
        seed += 1
        if time.monotonic() >= end:
            break
    sys.stdout.writelines(f"{what:22}{count:,}\n" for what, count in sorted(seen.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
