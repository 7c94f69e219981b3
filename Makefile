# What a person and CI run. Everything else is cargo and npm.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.PHONY: demo test test-kafka explore check bench setup dashboard build clean

demo: setup dashboard   ## set up all, run the main job on real and simulated input, say where to look
	scripts/demo.sh

# The seeds of property tests are fixed here, so that a landing does not hang on luck; `make explore` looks for new ones.
test test-kafka: export PROPTEST_RNG_SEED ?= 1
test: setup dashboard   ## set up all, pass the tests
	cargo test --workspace
	scripts/kafka.sh run $(MAKE) --no-print-directory test-kafka
	cd serving/dashboard && npm test

test-kafka:             ## on the broker that KAFKA_BOOTSTRAP names: the log's suite, the main job, the kills, parts apart
	cargo test --workspace --quiet -- kafka spine:: crash:: parts::

explore:                ## property tests and simulations over random seeds; what fails is kept beside the test
	FLOW_SEEDS=$${FLOW_SEEDS:-1000} SIM_SEEDS=$${SIM_SEEDS:-50} cargo test --workspace -- stream_equals_batch random simulation
	cargo test --workspace --test recall -- --include-ignored labels::

check:                  ## format, lints, documentation, dependency rules
	scripts/check.sh

bench: setup dashboard  ## measure the hot paths on this machine
	cargo build --release --workspace --bin crave
	$${CARGO_TARGET_DIR:-target}/release/crave bench ingest

setup:
	scripts/setup.sh

dashboard: serving/dashboard/dist/index.html

serving/dashboard/dist/index.html: $(shell find serving/dashboard/src serving/dashboard/public serving/dashboard/index.html serving/dashboard/flow.html serving/dashboard/package-lock.json -type f 2>/dev/null)
	cd serving/dashboard && npm ci --no-audit --no-fund && npm run build

build: dashboard
	cargo build --workspace

clean:
	rm -rf serving/dashboard/dist serving/dashboard/node_modules crave-home-demo
	cargo clean
