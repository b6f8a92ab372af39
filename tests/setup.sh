#!/usr/bin/env bash
# Installs what `make demo` or `make test` needs and is missing: says first what, how long it takes and how much disk.
# Usage: tests/setup.sh demo|test|check|bench
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?demo, test, check or bench}

say() { printf '%s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }

for tool in cargo cc; do
  has "$tool" || { say "missing: $tool. Install Rust (https://rustup.rs) and a C compiler (Debian: apt-get install build-essential)."; exit 1; }
done
case $what in test | check | bench) has node && has npm || { say "missing: node and npm (Debian: apt-get install nodejs npm)"; exit 1; } ;; esac
case $what in test | bench) has python3 || { say "missing: python3 (Debian: apt-get install python3 python3-venv)"; exit 1; } ;; esac

packages=()
if [ "$what" != check ]; then
  # The tests start and stop Redis themselves; the demo is content with one that is there.
  has redis-server || has valkey-server || { [ "$what" = demo ] && [ -n "${REDIS_URL:-}" ]; } || packages+=(redis-server)
  has flite || packages+=(flite)
  has espeak-ng || packages+=(espeak-ng)
  has pocketsphinx_continuous || packages+=(pocketsphinx)
  [ -d /usr/share/pocketsphinx/model/en-us/en-us ] || packages+=(pocketsphinx-en-us)
  has setpriv || packages+=(util-linux)
fi
# What transcoding is compared with.
case $what in test | bench) has ffmpeg || packages+=(ffmpeg) ;; esac
case $what in test) has sox || packages+=(sox) ;; esac
# Peers that only benchmarks are compared with.
if [ "$what" = bench ]; then
  has nginx || packages+=(nginx-light)
fi

stamp() { cksum "$@" | cksum; }
venv_wanted= node_wanted=
if [ "$what" = test ] || [ "$what" = bench ]; then
  [ "$(cat .venv/.stamp 2>/dev/null)" = "$(stamp tests/sdk/requirements.txt)" ] || venv_wanted=1
fi
if [ "$what" != demo ]; then
  [ "$(cat tests/sdk/node_modules/.stamp 2>/dev/null)" = "$(stamp tests/sdk/package.json)" ] || node_wanted=1
fi

if [ ${#packages[@]} -gt 0 ]; then
  say "will install by apt: ${packages[*]} (about 1 minute, 120 MB)"
fi
[ -z "$venv_wanted" ] || say "will install the vendors' Python SDKs and piper-tts into .venv (about 1 minute, 500 MB)"
[ -z "$node_wanted" ] || say "will install the vendors' Node SDK and buf into tests/sdk/node_modules (about 1 minute, 120 MB)"
[ -d target/debug ] || say "will build the workspace (about 5 minutes on two cores, 2 GB)"

if [ ${#packages[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ]; then
    as_root=()
  elif has sudo && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    say "cannot install without root: run  sudo apt-get install ${packages[*]}  and try again"
    exit 1
  fi
  has apt-get || { say "no apt-get here: install ${packages[*]} your system's way and try again"; exit 1; }
  export DEBIAN_FRONTEND=noninteractive
  say "apt-get update"
  ${as_root[@]+"${as_root[@]}"} apt-get update -qq </dev/null
  for package in "${packages[@]}"; do
    say "apt-get install $package"
    ${as_root[@]+"${as_root[@]}"} apt-get install -y -qq --no-install-recommends "$package" </dev/null >/dev/null
  done
fi
if [ -n "$venv_wanted" ]; then
  say "pip install -r tests/sdk/requirements.txt"
  python3 -m venv .venv
  .venv/bin/pip install -q --disable-pip-version-check -r tests/sdk/requirements.txt </dev/null
  stamp tests/sdk/requirements.txt >.venv/.stamp
fi
if [ -n "$node_wanted" ]; then
  say "npm install in tests/sdk"
  (cd tests/sdk && npm install --no-audit --no-fund --no-package-lock --loglevel=error </dev/null)
  stamp tests/sdk/package.json >tests/sdk/node_modules/.stamp
fi
