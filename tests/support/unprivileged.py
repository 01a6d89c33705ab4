"""Runs a program without root's right to pass permission bits: `python unprivileged.py PROGRAM ARGS...`.

Tests often run as root, to whom no folder is read-only. The two capabilities are taken from the process, and out of the
bounding set, so that no program that it starts can have them; if that is not allowed, nobody had them.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_CAPBSET_DROP = 24
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
_CAPABILITY_VERSION_3 = 0x20080522


def drop() -> None:
    """Take the two capabilities from this process."""
    libc = ctypes.CDLL(None)
    kept = 0xFFFFFFFF
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        kept &= ~(1 << capability)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: of the first 32 capabilities, then of the rest
    if libc.capget(header, sets) == 0:
        for at in range(3):
            sets[at] &= kept
        libc.capset(header, sets)


if __name__ == "__main__":
    drop()
    os.execv(sys.argv[1], sys.argv[1:])
