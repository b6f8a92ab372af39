#!/usr/bin/env bash
# Installs what `make demo` or `make test` needs and is missing: says first what, how long it takes and how much disk.
# Usage: tests/setup.sh demo|test|check|bench|all; `all` is `test` with every toolchain that an example needs.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?demo, test, check, bench or all}
everything=
[ "$what" != all ] || { what=test everything=1; }

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

if [ -n "$everything" ]; then
  has go || packages+=(golang-go)
  { has javac && has mvn; } || packages+=(default-jdk-headless maven)
fi

stamp() { cksum "$@" | cksum; }
venv_wanted= node_wanted= client_wanted=
requirements=(tests/sdk/requirements.txt clients/python/requirements.txt)
if [ "$what" = test ] || [ "$what" = bench ]; then
  [ "$(cat .venv/.stamp 2>/dev/null)" = "$(stamp "${requirements[@]}")" ] || venv_wanted=1
fi
if [ "$what" = test ]; then
  [ "$(cat clients/typescript/node_modules/.stamp 2>/dev/null)" = "$(stamp clients/typescript/package.json)" ] || client_wanted=1
fi
if [ "$what" != demo ]; then
  [ "$(cat tests/sdk/node_modules/.stamp 2>/dev/null)" = "$(stamp tests/sdk/package.json)" ] || node_wanted=1
fi

if [ ${#packages[@]} -gt 0 ]; then
  say "will install by apt: ${packages[*]} (about 1 minute, 120 MB)"
fi
[ -z "$venv_wanted" ] || say "will install the vendors' Python SDKs and piper-tts into .venv (about 1 minute, 500 MB)"
[ -z "$node_wanted" ] || say "will install the vendors' Node SDK and buf into tests/sdk/node_modules (about 1 minute, 120 MB)"
[ -z "$client_wanted" ] || say "will install what the TypeScript example needs into clients/typescript/node_modules (seconds, 40 MB)"
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
  say "pip install of ${requirements[*]}"
  python3 -m venv .venv
  .venv/bin/pip install -q --disable-pip-version-check "${requirements[@]/#/-r}" </dev/null
  stamp "${requirements[@]}" >.venv/.stamp
fi
if [ -n "$node_wanted" ]; then
  say "npm install in tests/sdk"
  (cd tests/sdk && npm install --no-audit --no-fund --no-package-lock --loglevel=error </dev/null)
  stamp tests/sdk/package.json >tests/sdk/node_modules/.stamp
fi
if [ -n "$client_wanted" ]; then
  say "npm install in clients/typescript"
  (cd clients/typescript && npm install --no-audit --no-fund --no-package-lock --loglevel=error </dev/null)
  stamp clients/typescript/package.json >clients/typescript/node_modules/.stamp
fi
[ "$what" = test ] || exit 0

# Programs of other languages go into .run, whichever of their toolchains are here.
go_tools=(
  github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3
  google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
  google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
)
if ! has go; then
  say "*** SKIPPED: no Go here, so the real grpcurl and the Go example are not tried (make test-all installs it)"
elif [ "$(cat .run/go/.stamp 2>/dev/null)" != "${go_tools[*]}" ]; then
  say "go install ${go_tools[*]} into .run/go (about 2 minutes the first time)"
  for tool in "${go_tools[@]}"; do GOBIN=$PWD/.run/go/bin go install "$tool"; done
  echo "${go_tools[*]}" >.run/go/.stamp
fi

case $(uname -m) in aarch64 | arm64) platform=linux-aarch_64 ;; *) platform=linux-x86_64 ;; esac
java_tools="com.google.protobuf:protoc:4.36.2 io.grpc:protoc-gen-grpc-java:1.83.0"
if ! has mvn || ! has javac; then
  say "*** SKIPPED: no Maven with a JDK here, so the Java example is not tried (make test-all installs them)"
elif [ "$(cat .run/java/.stamp 2>/dev/null)" != "$java_tools" ]; then
  for tool in $java_tools; do
    say "mvn dependency:copy $tool into .run/java"
    mvn -q -B dependency:copy -Dartifact="$tool:exe:$platform" -DoutputDirectory="$PWD/.run/java" </dev/null
    IFS=: read -r _ name version <<<"$tool"
    chmod 755 ".run/java/$name-$version-$platform.exe"
    mv ".run/java/$name-$version-$platform.exe" ".run/java/$name"
  done
  echo "$java_tools" >.run/java/.stamp
fi
