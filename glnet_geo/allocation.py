"""How the C library hands out the memory of tensors."""

from __future__ import annotations

import ctypes
import sys

# Numbers of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 32 << 20  # bytes; glibc takes no higher threshold for mappings
_KEPT = 256 << 20  # bytes at the end of the heap that are not given back


def reuse_memory() -> None:
    """Makes glibc keep freed memory for the next tensors of this process.

    The tensors of a patch come and go many times a second. By default each large one is mapped
    anew, and the kernel clears its pages: a quarter of the time of a prediction on two cores (and
    twice the time where Dask lowers the thresholds further). Elsewhere than on Linux with glibc
    nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, _LARGEST)
        set_option(_TRIM_THRESHOLD, _KEPT)
