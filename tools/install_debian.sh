#!/bin/sh
# Puts promtool, amtool, nginx and libfaketime of Debian into a folder, for the tests of what the documents show and of the wall clock:
# taken out of their packages, so that nothing is installed and nothing is started. Says so loudly where that is not possible.
folder=$1
for pair in promtool:prometheus:usr/bin/promtool amtool:prometheus-alertmanager:usr/bin/amtool nginx:nginx:usr/sbin/nginx \
    "libfaketimeMT.so.1:libfaketime:usr/lib/*/faketime/libfaketimeMT.so.1"; do
  name=${pair%%:*}; rest=${pair#*:}; package=${rest%%:*}; path=${rest#*:}
  [ -e "$folder/$name" ] || command -v "$name" >/dev/null 2>&1 && continue
  if command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
    work=$(mktemp -d)
    if (cd "$work" && { apt-get download -qq "$package" || { apt-get update -qq && apt-get download -qq "$package"; }; } \
        && dpkg-deb -x ./*.deb out) >/dev/null 2>&1; then
      cp "$work"/out/$path "$folder/$name"
    fi
    rm -rf "$work"
  fi
  [ -e "$folder/$name" ] || echo "NOTE: there is no $name, and it can not be had here: tests that need it will be SKIPPED." >&2
done
exit 0
