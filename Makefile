# Everything sets itself up: a clean clone with Python, a C compiler and make is enough. What is
# done once leaves a stamp, so repeating a target costs nothing.

PYTHON ?= python3
VENV := .venv
BIND ?= 127.0.0.1:8080
SITE ?= build/site
SECONDS ?= 60

# A demonstration site never changes; the webroot of any other is built anew each time.
ifeq ($(SITE),build/site)
WEBROOT := build/site.webroot
else
WEBROOT := build/other.webroot
endif

EXTENSION_SOURCES := $(wildcard ashttpd/*/build_*.py ashttpd/*.c ashttpd/*/*.c ashttpd/*/*.h)
INSTALL := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
INSTALL_LOG := build/install.log

# Many tests wait for a deadline, and leave their processor to another one.
PYTEST = $(VENV)/bin/python -m pytest --dist worksteal --numprocesses $$(($$(nproc) * 3 / 2))

export PYTHON

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help run test coverage lint format fuzz bench clean FORCE

help:
	@echo "make run [SITE=DIR] [BIND=127.0.0.1:8080]  serve a documentation site, or DIR"
	@echo "make test                                  linters, types, tests and a short fuzz"
	@echo "make coverage                              tests, and the lines that they do not reach"
	@echo "make lint                                  linters and types only"
	@echo "make format                                put the source into its form"
	@echo "make fuzz [SECONDS=60]                     look for new failures"
	@echo "make bench                                 compare with other servers"
	@echo "make clean                                 remove all that make made"

run: $(VENV)/installed $(WEBROOT)
	@mkdir -p build/vhosts
	@ln -sfn ../$(notdir $(WEBROOT)) build/vhosts/__default__
	@exec $(VENV)/bin/ashttpd --bind $(BIND) build/vhosts

test: export HYPOTHESIS_PROFILE ?= ci
test: lint build/packages-test
	$(PYTEST)

# Tests take a third longer when lines are counted.
coverage: $(VENV)/installed-dev build/packages-test
	$(PYTEST) --cov --cov-report=term

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

format: $(VENV)/installed-dev
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

fuzz: $(VENV)/installed-dev
	$(VENV)/bin/python -m fuzz --seconds $(SECONDS)

bench: $(VENV)/installed-dev build/packages-bench
	$(VENV)/bin/python -m bench

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* .hypothesis .*_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	find ashttpd '(' -name '*.so' -o -name '_*.c' ')' -exec rm -f {} +

# The site that is served, and what is served of it.

build/site: packaging/demo-site $(VENV)/bin/python
	PYTHON=$(VENV)/bin/python packaging/demo-site $@

# Without brotli, which would take a minute.
build/site.webroot: build/site $(VENV)/installed $(wildcard mkroot/*.py ashttpd/webroot/*.py)
	$(VENV)/bin/mkroot --compress gzip,zstd $< $@

build/other.webroot: $(VENV)/installed FORCE
	$(VENV)/bin/mkroot $(SITE) $@

# The environment. Users can do without an extension, so they are told what is missing, which the
# installer would keep to itself; whoever tests or measures cannot.

$(VENV)/bin/python: | build/packages-run
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"ashttpd needs Python 3.11 or newer; this is " + sys.version + "; try make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml setup.py $(EXTENSION_SOURCES) $(VENV)/bin/python
	@rm -f $(INSTALL_LOG)
	@echo "Installing ashttpd and what it needs into $(VENV)"
	@$(INSTALL) --log $(INSTALL_LOG) --editable .; status=$$?; \
	sed -n 's/^[^ ]* *\(ashttpd: \)/\1/p' $(INSTALL_LOG); exit $$status
	@touch $@

$(VENV)/installed-dev: pyproject.toml setup.py $(EXTENSION_SOURCES) $(VENV)/bin/python \
		| build/packages-build
	ASHTTPD_REQUIRE_EXTENSIONS=1 $(INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/installed

build/packages-run: packaging/system-packages
	@mkdir -p build
	@packaging/system-packages run --optional build
	@touch $@

build/packages-%: packaging/system-packages
	@mkdir -p build
	@packaging/system-packages $*
	@touch $@
