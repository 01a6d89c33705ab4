#!/bin/sh
# Installs Debian's Chromium for the browser tests, where that is possible; says so loudly where it is not.
command -v chromium >/dev/null 2>&1 && exit 0
if command -v apt-get >/dev/null 2>&1; then
  if [ "$(id -u)" = 0 ]; then run=""; elif sudo -n true 2>/dev/null; then run="sudo -n"; else run="no"; fi
  if [ "$run" != no ]; then
    echo "Installing Chromium for the browser tests ..." >&2
    export DEBIAN_FRONTEND=noninteractive
    $run apt-get install -y -qq chromium >/dev/null 2>&1 ||
      { $run apt-get update -qq >/dev/null 2>&1 && $run apt-get install -y -qq chromium >/dev/null 2>&1; }
    command -v chromium >/dev/null 2>&1 && exit 0
  fi
fi
echo "NOTE: there is no chromium, and it can not be installed here: the browser tests will be SKIPPED." >&2
echo "      On Debian and Ubuntu: sudo apt-get install chromium" >&2
