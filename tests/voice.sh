#!/usr/bin/env bash
# Installs a Piper voice: the model, what describes it, and its licence.
# Usage: tests/voice.sh NAME FROM [SHA256]
#   NAME    what the voice is called afterwards, such as en_US-kristin-medium
#   FROM    URL or path of its .onnx file; NAME.onnx.json and MODEL_CARD lie beside it
#   SHA256  of the .onnx file; otherwise FROM.sha256 is used, if it is there
# VOICES is the folder that it is installed in, .run/voices by default.
set -euo pipefail

fail() { printf 'voice: %s\n' "$*" >&2; exit 1; }

name=${1:-} from=${2:-} wanted=${3:-}
voices=${VOICES:-.run/voices}
[ -n "$name" ] && [ -n "$from" ] || fail "say NAME=… and FROM=<URL or path of an .onnx file>"
case $name in *[!A-Za-z0-9_.-]* | .* | -*) fail "NAME=$name: only letters, digits, dot, hyphen and underscore" ;; esac
case $from in *.onnx) ;; *) fail "FROM=$from: does not end in .onnx" ;; esac
folder=${from%/*}
[ "$folder" != "$from" ] || folder=.
mkdir -p "$voices"
# Beside the target, so that moving it there is one step.
work=$(mktemp -d "$voices/.$name.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Gets a URL or a path; quietly fails where there is nothing.
get() {
  case $1 in
    http://* | https://* | file://*)
      curl --fail --silent --location --proto '=http,https,file' --proto-redir '=http,https' \
        --connect-timeout 10 --max-time 1800 --max-filesize 536870912 --output "$2" "$1" ;;
    *) [ -f "$1" ] && cp "$1" "$2" ;;
  esac
}

get "$from" "$work/$name.onnx" || fail "$from cannot be had"
get "$from.json" "$work/$name.onnx.json" || fail "$from.json cannot be had; a voice is of no use without it"
has=$(sha256sum "$work/$name.onnx" | cut -d ' ' -f 1)
if [ -z "$wanted" ] && get "$from.sha256" "$work/sha256"; then
  wanted=$(cut -d ' ' -f 1 "$work/sha256")
  rm "$work/sha256"
fi
if [ -z "$wanted" ]; then
  printf 'voice: nothing to check its hash against; it is SHA256=%s\n' "$has"
elif [ "$(printf %s "$wanted" | tr A-F a-f)" != "$has" ]; then
  fail "its sha256 is $has, not $wanted: not installed"
fi
grep -q phoneme_id_map "$work/$name.onnx.json" || fail "$from.json does not describe a Piper voice"

card=
stem=${from##*/}
stem=${stem%.onnx}
for candidate in "$stem.MODEL_CARD" MODEL_CARD "$stem.COPYING" COPYING LICENSE README.md README; do
  if get "$folder/$candidate" "$work/$name.MODEL_CARD"; then card=$candidate; break; fi
done
# The model comes last: what has no model is no voice.
for file in "$name.MODEL_CARD" "$name.onnx.json" "$name.onnx"; do
  [ ! -f "$work/$file" ] || mv -f "$work/$file" "$voices/$file"
done

if [ -z "$card" ]; then
  printf 'voice: no model card lies beside it: find out its licence before anybody hears it\n'
else
  printf 'voice: what its %s says of its licence (all of it: %s)\n' "$card" "$voices/$name.MODEL_CARD"
  case $card in
    *MODEL_CARD) grep -i -E 'licen[cs]e|copyright|dataset|url' "$voices/$name.MODEL_CARD" || cat "$voices/$name.MODEL_CARD" ;;
    *) grep -v '^[[:space:]]*$' "$voices/$name.MODEL_CARD" ;;
  esac | sed -n '1,6s/^[[:space:]]*/  /p'
fi
printf 'voice: installed; use it with PIPER_VOICE=%s/%s.onnx\n' "$voices" "$name"
