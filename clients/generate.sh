#!/usr/bin/env bash
# Makes the stubs of one language: generate.sh python|go|typescript|java. The plugins are those of buf.gen.yaml.
set -euo pipefail
language=${1:?python, go, typescript or java}
cd "$(dirname "$0")/.."
template=$(awk -v out="out: clients/$language/" '
  BEGIN { RS = "\n  - " }
  NR == 1 { print }
  NR > 1 && index($0, out) { print "  - " $0 }' buf.gen.yaml)
exec tests/sdk/node_modules/.bin/buf generate --template "$template"
