#!/bin/sh
# Prints the first Python that is new enough and can make a virtual environment. PYTHON=... decides by itself.
for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14 python}; do
  if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    command -v "$candidate"
    exit 0
  fi
done
echo "No Python 3.11 or newer with the venv module was found${PYTHON:+ (tried PYTHON=$PYTHON)}." >&2
echo "Install one (on Debian and Ubuntu: python3.11 and python3.11-venv), or name it: make PYTHON=/path/to/python3 ..." >&2
exit 1
