#!/usr/bin/env bash
# Compares proto/ with the one on main, so that v1 only grows. Where there is nothing to compare with, it says so and passes.
#   tools/check_breaking.sh [BUF]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
buf=${1:-buf}

unchecked() {
  echo "WARNING: buf breaking was NOT checked: $1" >&2
  exit 0
}

git rev-parse --git-dir >/dev/null 2>&1 || unchecked "this is no git checkout"
base=
for candidate in main origin/main; do  # a shallow clone of a branch has neither
  if git rev-parse --verify --quiet "$candidate^{commit}" >/dev/null; then base=$candidate; break; fi
done
[ -n "$base" ] || unchecked "there is no branch main here (fetch it to check)"
[ -n "$(git ls-tree -r --name-only "$base" -- proto | grep '\.proto$')" ] || unchecked "$base has no proto/ yet"

# `git archive` rather than buf's own clone: it works in worktrees and shallow clones too.
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
git archive "$base" proto buf.yaml | tar -x -C "$before"
"$buf" breaking --against "$before"
