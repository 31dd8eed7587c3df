"""Search kernels in C++ (`native/`). Optional: whoever imports it has a numpy way as well."""

import numpy as np
from numpy.typing import NDArray

def hamming(
    codes: NDArray[np.uint8], query: NDArray[np.uint8], implementation: str | None = None
) -> NDArray[np.uint32]:
    """Count, for each row of ``uint8[n, width]``, the bits that differ from ``uint8[width]``.

    Arrays must be C-contiguous: nothing is copied. The GIL is released.

    Args:
        implementation: one of `implementations`; the fastest by default.

    Raises:
        TypeError: another dtype, number of dimensions or memory layout.
        ValueError: the widths differ, or this CPU can't run that implementation.
    """

def implementations() -> list[str]:
    """The kernels that this CPU can run, fastest first; ``scalar`` is always the last."""
