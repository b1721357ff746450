# One verb each. `make check test` is what CI runs. Everything is installed into .venv, nothing outside it (but `peers`).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .supply-chain
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: help demo test check bench docs peers audit sbom viewer install develop format clean

help:
	@echo "demo    start the node with a loopback archive, send a generated study, print the findings (STUDY=folder, DEMO_EXIT=1)"
	@echo "viewer  fetch the OHIF viewer into ./viewer, which the demo then serves (needs npm)"
	@echo "test    the whole test suite"
	@echo "check   ruff, mypy, import-linter"
	@echo "bench   measure receiving and reading side by side with Orthanc and DCMTK"
	@echo "docs    write the generated pages of docs/ and README.md again"
	@echo "peers   install the programs that tests talk to (DCMTK, Orthanc, PostgreSQL, Prometheus, Chromium, PDFBox, FUSE, npm,"
	@echo "        Triton; Debian, as root)"
	@echo "audit   look every pinned package up among known vulnerabilities (needs the vulnerability service of PyPI)"
	@echo "sbom    write what the node consists of to sbom.json (CycloneDX)"
	@echo "format  format the code"

demo: install
	STUDY="$(STUDY)" DEMO_EXIT="$(DEMO_EXIT)" $(BIN)/python -m server.demo

viewer: install
	$(BIN)/spine-node viewer install --viewer-dir viewer

# One BLAS thread for each test process: they share the cores, and idle ones spin.
test: export OPENBLAS_NUM_THREADS = 1
test: develop
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m "not alone"
	$(BIN)/python -m pytest tests/acceptance -m alone

check: develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: develop
	PYTHONPATH=tests $(BIN)/python -m benchmarks

docs: develop
	$(BIN)/python -m docs.generate

format: develop
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

peers:
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
		dcmtk fuse3 orthanc orthanc-dicomweb postgresql prometheus chromium \
		default-jre-headless libpdfbox2-java libactivation-java libjaxb-api-java iproute2 util-linux procps
	test -x .triton/bin/python || $(PYTHON) -m venv .triton
	.triton/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --requirement tests/triton.txt
	command -v npm || DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends npm

# In an environment of their own: neither is a part of the node, and the SBOM is of what serves, not of what develops.
audit: $(TOOLS)/.installed
	$(TOOLS)/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

sbom: $(TOOLS)/.installed
	$(PYTHON) -m venv --clear $(TOOLS)/served
	$(TOOLS)/served/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt ".[postgresql,s3]"
	$(TOOLS)/served/bin/python -m pip --disable-pip-version-check uninstall --quiet --yes pip
	$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --validate \
		--output-file sbom.json $(TOOLS)/served/bin/python

$(TOOLS)/.installed: tests/supply-chain.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip --disable-pip-version-check install --quiet --requirement tests/supply-chain.txt
	touch $@

install: $(VENV)/.installed
develop: $(VENV)/.developed

# What the node needs to serve: no torch.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable .
	touch $@

# torch goes in first and by its exact version: where a CPU build is offered, pip then takes that one.
$(VENV)/.developed: $(VENV)/.installed
	$(PIP) install --quiet $(TORCH)
	$(PIP) install --quiet --constraint constraints.txt --editable ".[dev,train,postgresql,openvino,s3]"
	touch $@

clean:
	rm -rf $(VENV) $(TOOLS) .triton sbom.json build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
