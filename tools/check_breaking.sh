#!/usr/bin/env bash
# Compares proto/ with the one on main and with the one of the baseline, so that v1 only grows. If there is nothing to compare
# with, it warns and passes.
#   tools/check_breaking.sh [BUF]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
buf=${1:-buf}
# The last commit before sharing, the vocabulary package and the whole cores. Old clients speak its proto/.
baseline=f244ec2b5e1f2fcb3844359d80a186fc0316230f

unchecked() {
  echo "WARNING: buf breaking was NOT checked against $1" >&2
}

check() {
  [ -n "$(git ls-tree -r --name-only "$1" -- proto | grep '\.proto$')" ] || { unchecked "$1, which has no proto/ yet"; return; }
  # `git archive` rather than buf's own clone: it works in worktrees and shallow clones too.
  git archive "$1" proto buf.yaml | tar -x -C "$(mkdir -p "$before/$1" && echo "$before/$1")"
  "$buf" breaking --against "$before/$1"
}

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
if ! git rev-parse --git-dir >/dev/null 2>&1; then
  unchecked "anything: this is no git checkout"
  exit 0
fi
main=
for candidate in main origin/main; do  # a shallow clone of a branch has neither
  if git rev-parse --verify --quiet "$candidate^{commit}" >/dev/null; then main=$(git rev-parse "$candidate"); break; fi
done
if [ -n "$main" ]; then
  check "$main"
else
  unchecked "main: there is no such branch here (fetch it to check)"
fi
if git rev-parse --verify --quiet "$baseline^{commit}" >/dev/null; then
  check "$baseline"
else
  unchecked "the baseline: $baseline is not in this clone (fetch all of it to check)"
fi
