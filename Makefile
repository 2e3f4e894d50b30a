# marketsim: `make demo` runs the main job on a machine with only Python 3.11 or newer and make,
# `make test` sets up and passes every test. Both make .venv/ once and are quick to call again.

VENV := .venv
BIN := $(VENV)/bin
# The first of these that is Python 3.11 or newer; say `make demo PYTHON=/path/to/python` for another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# The machine's own tools decide how many tests run at once.
WORKERS ?= auto

# The tests of the chain: money, escrow, every ladder and every edge.
CHAIN_TESTS := tests/money/test_money.py tests/money/test_wide.py $(addprefix tests/chain/,$(addsuffix .py,\
	$(addprefix escrow/test_,escrow_exact escrow_vectors escrow_deposits escrow_audit usage_settlement ve_settlement) \
	$(addprefix test_,market transitions chain_stateful))) tests/conformance/test_parity_market.py

.PHONY: demo test test-plain differential crash selftest wheel lint figures readme mutants constraints clean help

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "marketsim needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "the module venv is missing (Debian: python3-venv)" >&2; exit 2; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed  ## Run scenarios/baseline.yaml, print its report, leave results/
	$(BIN)/marketsim run scenarios/baseline.yaml

# Compiled code is cached by whoever is first: one small run before the tests' processes start beside each other.
test: $(VENV)/.installed-dev  ## Every test, the slow ones too
	$(BIN)/python -m marketsim.experiments.runs.warm
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-plain: $(VENV)/.installed-dev  ## The chain's tests without the compiler, and what they cover
	MARKETSIM_COMPILE=0 $(BIN)/python -m coverage run --source=marketsim/money,marketsim/chain -m pytest $(CHAIN_TESTS)
	$(BIN)/python -m coverage report --skip-covered

# The first part is also in `make test`, for 300 scenarios and 2,000 messages; DIFFERENTIAL_FIRST=2000 goes on where that ended.
differential: $(VENV)/.installed-dev  ## 2,000 random scenarios and 100,000 messages: compiled, checked, plain, audited; an hour on two cores
	MARKETSIM_DIFFERENTIAL=$(or $(DIFFERENTIAL),2000) MARKETSIM_DIFFERENTIAL_FIRST=$(or $(DIFFERENTIAL_FIRST),0) \
		$(BIN)/python -m pytest -s tests/simulation/test_differential.py
	MARKETSIM_COMPILE=checked $(BIN)/python -m pytest tests/chain/test_chain_stateful.py

crash: $(VENV)/.installed-dev  ## Ctrl-C and kill -9 at 100 moments each of a run and of a sweep, kill -9 of a devnet under load 200 times
	MARKETSIM_CRASHES=100 $(BIN)/python -m pytest tests/cli/test_interrupts.py
	MARKETSIM_DEVNET_KILLS=200 $(BIN)/python -m pytest -s tests/devnet/test_killed_devnet.py

selftest: $(VENV)/.installed  ## Error rates of `marketsim check` on 2,000 fresh replications: some minutes
	$(BIN)/marketsim check selftest --fresh

lint: $(VENV)/.installed-dev  ## Style, strict types and layers; the tests hold them too
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: $(VENV)/.installed-dev  ## A wheel with machine code, for who installs without a compiler: dist/, some minutes, needs gcc
	$(BIN)/python .ci/compiled_wheel.py

readme: $(VENV)/.installed  ## Print the baseline's report into README.md and its figures into docs/images/
	$(BIN)/python docs/printed.py

figures: readme  ## The same: one run makes both

# mutmut leaves decorated functions alone and compiled ones cannot be changed while they run: it gets a copy
# of the sources whose functions are plain. It goes on where it stopped with `cd build/plain && mutmut run`.
mutants: $(VENV)/.installed-dev  ## Mutation tests of money and escrow: forty minutes on two processors, then a table
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,mutants]'
	rm -rf build/plain && mkdir -p build/plain
	cp -R marketsim tests scenarios pyproject.toml README.md LICENSE build/plain/
	sed -i.bak -e '/^@compiled$$/d' -e '/^@compiled_inline$$/d' build/plain/marketsim/money/*.py build/plain/marketsim/chain/*.py build/plain/marketsim/chain/escrow/*.py && find build/plain -name '*.bak' -delete
	cd build/plain && MARKETSIM_COMPILE=0 PYTHONPATH=. $(abspath $(BIN))/mutmut run \
		$(if $(filter-out auto,$(WORKERS)),--max-children $(WORKERS))
	cd build/plain && $(abspath $(BIN))/python tests/support/mutants.py

constraints:  ## Pin what a fresh environment gets today; .venv/ is made anew
	rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '.[dev,mutants]'
	{ echo '# The versions that the tests passed with; made by `make constraints`.'; \
	  $(BIN)/python -m pip freeze --exclude-editable --exclude marketsim | grep -v '[:@/]'; } > constraints.txt

clean:  ## Remove what make has made, results included
	rm -rf $(VENV) build mutants
	find results -mindepth 1 -maxdepth 1 ! -name README.md ! -name example -exec rm -rf {} +
