# One word per task. Each does its own set-up; a task that was set up before starts at once.
#
#   make run     the demonstration, offline, in a few seconds
#   make test    every test (installs Debian's test programs where it may)
#   make lint    ruff and mypy
#   make e2e-kubernetes  the Kubernetes gate before a real kube-apiserver, which it builds (Go)
#   make bench   the benchmark beside Syft, on images built here (minutes, some 20 GB of disk)
#   make bench-learning  learned trust against its baselines (an hour; BENCH_ARGS=--quick: minutes)
#   make clean   remove what the others made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench

.PHONY: run test lint bench bench-learning lock clean e2e-kubernetes

run: $(STAMP)
	@$(BIN)/layerproof demo

# By file: the tests of a file share the servers and images that it starts. The real images are
# built beside the first tests, once.
test: $(STAMP)
	@scripts/setup-system.sh
	@$(BIN)/python -m tests.e2e.real_images & \
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# Skipped, with its reason, where kube-apiserver cannot be built.
e2e-kubernetes: $(STAMP)
	@scripts/setup-system.sh
	@scripts/build-kube-apiserver.sh || [ $$? = 2 ]
	$(BIN)/python -m pytest -n 0 tests/e2e/test_kubernetes_gate.py $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy bench
	$(BIN)/mypy --explicit-package-bases tests/conftest.py tests/e2e tests/unit/test_imports.py

bench: $(BENCH_STAMP)
	@scripts/setup-system.sh
	$(BIN)/python bench/run.py $(BENCH_ARGS)
	$(BIN)/python bench/service.py $(filter --write-docs,$(BENCH_ARGS))
	$(BIN)/python bench/scale.py $(filter --write-docs,$(BENCH_ARGS))
	$(BIN)/python bench/admission.py $(filter --write-docs,$(BENCH_ARGS))
	$(BIN)/python bench/gates.py $(filter --write-docs,$(BENCH_ARGS))

bench-learning: $(STAMP)
	@scripts/setup-system.sh
	$(BIN)/python bench/learn.py $(BENCH_ARGS)

$(STAMP): pyproject.toml requirements.lock scripts/setup-venv.sh
	@PYTHON="$(PYTHON)" scripts/setup-venv.sh $(VENV) requirements.lock
	@touch $@

$(BENCH_STAMP): $(STAMP) requirements-bench.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-bench.lock
	@touch $@

# Pins the newest versions that pyproject.toml allows. For maintainers; needs uv.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --extra dev --upgrade -o requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-deps --upgrade -o requirements-bench.lock bench/requirements.in
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --extra service --extra tracing --upgrade --constraints requirements.lock \
	  -o requirements-service.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --upgrade --constraints requirements.lock \
	  -o requirements-build.lock deploy/build-requirements.in

clean:
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist bench/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
