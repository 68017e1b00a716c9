# Every command of the project; hooks and CI call these targets and nothing else.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
UV := $(BIN)/uv
OUT ?= out/demo
LOWEST := $(CURDIR)/.venv-lowest
LOWEST_PYTHON ?= 3.10
# The Triton of the lowest supported torch, unpacked where PYTHONPATH finds it before the locked one.
LOWEST_TRITON_VERSION := 3.6.0
LOWEST_TRITON := $(CURDIR)/.venv-triton-$(LOWEST_TRITON_VERSION)
BENCH := $(CURDIR)/.venv-bench
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PATH := $(BIN):$(PATH)
# Rust's release profile everywhere: the dependencies are compiled once for the wheel and for the tests. What else calls cargo
# comes after the build, or it would hold the lock on target/ while the build waits.
CARGO_PROFILE := --release

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# uv is itself in the lock, so that `pip sync` keeps it.
$(VENV)/.ready: requirements-dev.lock
	test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; }
	$(UV) pip sync --quiet requirements-dev.lock
	touch $@

.PHONY: setup
setup: $(VENV)/.ready ## Create .venv with the locked development dependencies

.PHONY: build
build: setup ## Build the Rust core and install limbeck into .venv
	maturin develop $(CARGO_PROFILE) --uv --quiet

# For a release: compiled a second time by what the first was seen to do, which takes a while.
dist/.ready: $(VENV)/.ready Cargo.toml Cargo.lock pyproject.toml $(shell git ls-files rust python/limbeck kernels/limbeck_kernels)
	rustup component add llvm-tools
	rm -rf dist
	maturin build --profile dist --pgo --quiet --out dist
	touch $@

.PHONY: wheel
wheel: dist/.ready ## Build the wheel of a release into dist/ (some ten minutes on 2 cores)

.PHONY: demo
demo: build ## Run the embedded default and print its table and the path of its report
	limbeck run output_dir=$(OUT)

# In an order that suits `--jobs`: what needs no build goes beside it, and what takes all cores to its end is last.
.PHONY: test
test: build compile-kernels lint test-rust test-python ## Build, lint, run all tests, compile the kernels for every GPU

.PHONY: test-rust
test-rust: build ## Run the Rust tests
	cargo test --workspace $(CARGO_PROFILE) --quiet

# In the order of the files: a file with few tests may hold the longest, and no process is to wait for it at the end. Without the
# test that compiles the tightest kernels: `compile-kernels` compiles them all.
.PHONY: test-python
test-python: build ## Run the Python tests, a process a core
	OMP_NUM_THREADS=1 pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder \
	  --deselect tests/kernels/test_compile_ahead.py::test_the_tightest_kernels_compile_on_this_triton

.PHONY: lint
lint: lint-rust lint-python ## Check formats, lints, types and the stub

.PHONY: lint-rust
lint-rust: build ## Check the format and the lints of the Rust code
	cargo fmt --all --check
	cargo fmt --manifest-path rust/fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets $(CARGO_PROFILE) --quiet -- --deny warnings

.PHONY: lint-python
lint-python: build ## Check the format, the lints and the types of the Python code, and the stub
	ruff format --check
	ruff check
	mypy
	python -m mypy.stubtest limbeck._native --mypy-config-file rust/py/stubtest.ini

.PHONY: format
format: setup ## Format Rust and Python
	cargo fmt --all
	cargo fmt --manifest-path rust/fuzz/Cargo.toml
	ruff format
	ruff check --fix

.PHONY: stubs
stubs: setup ## Write python/limbeck/_native.pyi from the Rust signatures
	maturin generate-stubs --profile release --quiet --out target/stubs
	cp target/stubs/limbeck/_native.pyi python/limbeck/_native.pyi

.PHONY: test-lowest
test-lowest: ## Run the Python tests on the lowest supported versions
	test -x $(LOWEST)/bin/python || $(UV) venv --quiet --python $(LOWEST_PYTHON) $(LOWEST)
	$(UV) pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --group dev --editable '.[peft,teach]'
	$(LOWEST)/bin/python -m pytest --ignore tests/packaging

FUZZ_TARGETS := record template encode pack prepare
FUZZ_SECONDS ?= 60
FUZZ_HOST = $(shell rustc -vV | sed -n 's/^host: //p')
# Stable Rust suffices: the counters are an LLVM pass. Only the host's flags, not the build scripts', carry it.
FUZZ_FLAGS := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1

.PHONY: fuzz
fuzz: ## Fuzz parsing, rendering, encoding and packing, each for FUZZ_SECONDS
	RUSTFLAGS="$(FUZZ_FLAGS)" cargo build --manifest-path rust/fuzz/Cargo.toml --release --target $(FUZZ_HOST) --target-dir target/fuzz --quiet
	for target in $(FUZZ_TARGETS); do \
	  mkdir -p target/fuzz/corpus/$$target; \
	  target/fuzz/$(FUZZ_HOST)/release/$$target -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
	    -artifact_prefix=target/fuzz/$$target- target/fuzz/corpus/$$target rust/fuzz/seeds/$$target; \
	done

.PHONY: bench-prepare
bench-prepare: dist/.ready ## Time preparation beside its rivals and keep the results (Python 3.11; TRL takes its time)
	test -x $(BENCH)/bin/python || $(UV) venv --quiet --python 3.11 $(BENCH)
	$(UV) pip install --quiet --compile-bytecode --python $(BENCH)/bin/python --requirements benches/requirements-prepare.txt --reinstall-package limbeck dist/*.whl
	$(BENCH)/bin/python benches/prepare/run.py

.PHONY: compile-kernels
compile-kernels: setup ## Compile every kernel for every GPU, on the locked and the lowest Triton
	python benches/kernels/compile_ahead.py
	test -d $(LOWEST_TRITON)/triton || $(UV) pip install --quiet --no-deps --target $(LOWEST_TRITON) triton==$(LOWEST_TRITON_VERSION)
	PYTHONPATH=$(LOWEST_TRITON) python benches/kernels/compile_ahead.py

# Needs no network and no Rust: any Python 3.10+ with torch, triton, pytest and pytest-benchmark.
.PHONY: bench-gpu
bench-gpu: ## Test the kernels on the GPU at hand, then time them; CPU rows where there is none
	$(PYTHON) benches/kernels/run.py

.PHONY: lock
lock: setup ## Lock the development dependencies
	uv pip compile --quiet --universal --generate-hashes --no-header --all-extras --group dev --python-version 3.10 pyproject.toml --output-file requirements-dev.lock
