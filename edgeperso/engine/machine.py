"""What this machine offers to a model: cores and memory."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

__all__ = ["cpu_name", "decode_threads", "physical_cores", "resident_bytes"]

_CPUS = Path("/sys/devices/system/cpu")
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_LARGE_MODEL = 1_000_000_000


def physical_cores() -> int:
    """Cores that this process may use, hyper-threads counted once: llama.cpp's threads are bound by the cores'
    arithmetic, and a second thread on a core slows both. On Apple silicon the performance cores alone."""
    if sys.platform == "darwin":
        return _apple_performance_cores() or os.cpu_count() or 1
    if not hasattr(os, "sched_getaffinity"):
        return max(1, (os.cpu_count() or 1) // 2)
    allowed = os.sched_getaffinity(0)
    siblings = {_read(_CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list") or str(cpu) for cpu in allowed}
    return max(1, min(len(siblings), _quota_cpus() or len(siblings)))


def decode_threads(n_params: int) -> int:
    """Threads for one token at a time. A token of a small model takes few milliseconds with hundreds of meetings of
    all threads: if another program takes one's core, all wait, and writing slows down tenfold. One core left free
    costs a small model little; a large one is better off with all."""
    cores = physical_cores()
    return cores if n_params >= _LARGE_MODEL else max(1, cores - 1)


def resident_bytes() -> int:
    """This process's resident memory in bytes; 0 where the platform doesn't say."""
    fields = _read(Path("/proc/self/statm")).split()
    if len(fields) > 1:
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def cpu_name() -> str:
    """The processor's model, to tell whether figures were measured on one like it."""
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _quota_cpus() -> int | None:
    """Whole CPUs that the control group grants, None without a limit."""
    fields = _read(_CGROUP_QUOTA).split()
    if len(fields) != 2 or not (fields[0].isdigit() and fields[1].isdigit()):
        return None
    return max(1, round(int(fields[0]) / int(fields[1])))


def _apple_performance_cores() -> int | None:
    import ctypes

    value, size = ctypes.c_int32(0), ctypes.c_size_t(4)
    try:
        lookup = ctypes.CDLL(None).sysctlbyname
    except (OSError, AttributeError):
        return None
    found = lookup(b"hw.perflevel0.physicalcpu", ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0)) == 0
    return value.value if found and value.value > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
