# Everything that people do with this tree. One cargo command shape everywhere: another selection of packages would
# rebuild half of the dependencies.
CARGO_BUILD := cargo build --workspace --all-targets
# Figures are those of what operators run.
CARGO_RELEASE := cargo build --release --workspace --bins
BUF := tests/sdk/node_modules/.bin/buf
# The contracts as they were last released: what is in it may not break any more.
RELEASED := proto/released.binpb

.DEFAULT_GOAL := help
.PHONY: help demo up test test-all check api-docs release-contract bench bench-turn bench-jobs bench-speech bench-calls bench-rpc soak setup voice

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: ## one real conversation end to end, with no account
	@tests/setup.sh demo
	@$(CARGO_BUILD)
	@target/debug/examples/demo

up: ## start the mesh with the credentials in the environment, simulators for the rest, and stay
	@tests/setup.sh demo
	@$(CARGO_BUILD)
	@target/debug/examples/up

test: ## every test: units, protocols, the mesh, the vendors' SDKs
	@tests/setup.sh test
	@$(CARGO_BUILD)
	cargo test --workspace

test-all: ## the same with every toolchain that an example needs; nothing may be left out
	@tests/setup.sh all
	@$(CARGO_BUILD)
	EVERYTHING=1 cargo test --workspace

check: ## formatting, lints, contracts
	@tests/setup.sh check
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(BUF) lint
	$(BUF) format -d --exit-code
	$(BUF) breaking --against $(RELEASED)

api-docs: ## write docs/api.md anew from the contracts
	RENEW=1 cargo test --workspace the_api_reference_is_what_the_contracts_say

release-contract: ## make the contracts as they are the released ones (docs/contracts.md says when)
	@tests/setup.sh check
	$(BUF) build --exclude-source-info -o $(RELEASED)

bench: bench-turn bench-jobs bench-speech bench-calls bench-rpc ## every benchmark

bench-turn: ## what the mesh adds to a turn, and the longest silence of every fault
	@tests/setup.sh demo
	@$(CARGO_RELEASE)
	@target/release/bench-turn

# Producer, worker and Redis share two cores: one thread each is all that can run.
bench-jobs: ## the queue beside bare sockets and stock Celery
	@tests/setup.sh test
	@$(CARGO_RELEASE)
	@TOKIO_WORKER_THREADS=1 target/release/bench-jobs

bench-speech: ## the speech service beside ffmpeg, nginx, piper-tts and espeak-ng
	@tests/setup.sh bench
	@$(CARGO_RELEASE)
	@target/release/bench-speech

bench-calls: ## the stream door under load: callers who talk and interrupt, ever more of them
	@tests/setup.sh bench
	@$(CARGO_RELEASE)
	@target/release/bench-calls

bench-rpc: ## what the relay adds to bare tonic: to a frame's way, a unary call, and the telling of events
	@tests/setup.sh demo
	@$(CARGO_RELEASE)
	@target/release/bench-rpc

soak: ## a thousand silent calls for ten minutes, then ten thousand short ones: everything is given back
	@tests/setup.sh bench
	@$(CARGO_RELEASE)
	@target/release/soak $(SIZE)

voice: ## install a Piper voice: NAME=… FROM=<URL or path of its .onnx> [SHA256=…]
	@tests/voice.sh "$(NAME)" "$(FROM)" "$(SHA256)"

setup: ## install what the tests need
	@tests/setup.sh test
