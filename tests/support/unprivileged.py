"""Runs a program without root's right to pass permission bits: `python unprivileged.py PROGRAM ARGS...`.

Tests often run as root, to whom no folder is read-only. The two capabilities are taken out of the bounding set, so that
the program that is started next cannot have them; if that is not allowed, nobody had them.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_CAPBSET_DROP = 24
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2

if __name__ == "__main__":
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.execv(sys.argv[1], sys.argv[1:])
