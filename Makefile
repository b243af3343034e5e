# Two commands do everything, each by itself: `make demo` and `make test`.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DEMO_OUTPUT := output/demo
FAULTS := $(CURDIR)/output/faults.jsonl

# A Prefect of the project's own: a user's profile, and the server it may name, are left alone.
export PREFECT_HOME := $(CURDIR)/.prefect
unexport PREFECT_API_URL PREFECT_PROFILE

.PHONY: demo test test-all soak lint quality truth full-band phase strength performance bench variants peer planning orchestration overlap scaling docs lock clean

demo: $(VENV)/installed
	$(BIN)/timbreflow run manifests/examples/demo.parquet $(DEMO_OUTPUT)

test: $(VENV)/installed lint
	$(BIN)/python -m pytest

# Everything: the slow tests and those of `soak` too.
test-all: $(VENV)/installed lint
	$(BIN)/python -m pytest -m ''

# Every fault that the tests can cause; what came of it goes into docs/reliability.md, also if a test fails. Most of the
# tests are in one file: spread them singly.
soak: $(VENV)/installed
	@mkdir -p output && rm -f $(FAULTS)
	TIMBREFLOW_FAULT_RECORDS=$(FAULTS) $(BIN)/python -m pytest -m '' --dist=load tests/faults; failed=$$?; \
	$(BIN)/python -m tests.faults.report $(FAULTS) docs/reliability.md; exit $$failed

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# About half an hour of two cores; goes on where it was stopped. Needs Debian packages, which the first command names.
quality: $(VENV)/installed
	$(BIN)/python -m benchmarks.sound.evaluation_set
	$(BIN)/python -m benchmarks.sound.quality --jobs 2

# The same phrase on another instrument is the right answer: how near does each system come? About half an hour of two
# cores, the peer a third of it; goes on where it was stopped. Needs Debian packages, which the first command names.
truth: $(VENV)/installed
	$(BIN)/python -m benchmarks.sound.truth_set
	$(BIN)/python -m benchmarks.sound.truth --jobs 2

# The evaluation set at 48 kHz beside 16 kHz: about six minutes of one core.
full-band: $(VENV)/installed
	$(BIN)/python -m benchmarks.sound.full_band --document

# What the search for a phase does, on the same pairs: about twenty minutes of one core.
phase: $(VENV)/installed
	$(BIN)/python -m benchmarks.sound.evaluation_set
	$(BIN)/python -m benchmarks.sound.phase_search --jobs 2

# How far each strength goes, on the same pairs: about three minutes of two cores.
strength: $(VENV)/installed
	$(BIN)/python -m benchmarks.sound.evaluation_set
	$(BIN)/python -m benchmarks.sound.strength --jobs 2

# Every table of docs/performance.md, one after the other. It takes a while (the peer alone three minutes a pair), in
# which the machine should have nothing else to do. `peer` goes on where it was stopped.
performance: $(VENV)/installed
	for one in bench variants peer planning orchestration overlap scaling; do $(MAKE) $$one || exit; done

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.speed.core --document

variants: $(VENV)/installed
	$(BIN)/python -m benchmarks.speed.variants --document

peer: $(VENV)/installed
	$(BIN)/python -m benchmarks.sound.peer_random_cnn --document

planning: $(VENV)/installed
	$(BIN)/python -m benchmarks.speed.planning_cost --document

orchestration: $(VENV)/installed
	$(BIN)/python -m benchmarks.speed.orchestration --document

overlap: $(VENV)/installed
	$(BIN)/python -m benchmarks.speed.overlap --document

scaling: $(VENV)/installed
	$(BIN)/python -m benchmarks.speed.scaling --document

# The last step lets librosa compile its functions once, so that nothing waits for it (stylecore/compiling.py) later.
$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -c 'import numpy, stylecore.metrics as m; m.features(numpy.random.default_rng(0).normal(size=16000))'
	touch $@

# The documents as a site in output/site; a link that leads nowhere fails.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# Pins what pyproject.toml allows today, on Linux with Python 3.11.
lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --editable '.[dev]'
	$(VENV)-lock/bin/python -m pip freeze --all --exclude pip --exclude-editable > requirements.lock
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) .prefect output
