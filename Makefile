# make demo | web | test | test-all | lint | format | bench | stress: each sets up what it needs, again
# when the requirements changed. PYTHON=python3.13 make ... takes another interpreter, in a folder of its own.
PYTHON ?= python3
VENV := .venv$(if $(filter-out file,$(origin PYTHON)),-$(notdir $(PYTHON)))
RUN := $(VENV)/bin/python
# Each worker takes neighbouring files, which share fixtures, until the others run out of theirs.
PYTEST := $(RUN) -m pytest --numprocesses=logical --maxprocesses=4 --dist=worksteal
DEMO := runs/demo
# Of make web: what dped_jax.export --format=onnx wrote, and the folder of the page.
MODEL ?= $(DEMO)/stages
PAGE ?= runs/page
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.jax_cache

# The interpreter of a version, where one runs: on the path, or pyenv's.
python = $(firstword $(foreach each,python$(1) \
	$(wildcard $(shell pyenv root 2> /dev/null)/versions/$(1).*/bin/python$(1)),\
	$(shell $(each) -c "print('$(each)')" 2> /dev/null)))
VERSIONS := 3.11 3.12 3.13
own = $(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])")
others = $(foreach each,$(filter-out $(own),$(VERSIONS)),$(call python,$(each)))
# What depends most on the version of JAX; needs requirements.txt, pytest and xdist only.
QUICK := tests/models/test_networks.py tests/test_losses.py tests/test_metrics.py \
	tests/test_train_step.py tests/test_checkpoint.py tests/test_input_pipeline.py \
	tests/enhance/test_tiles.py

.PHONY: demo web venv venvs setup test test-all quick lint format bench stress

$(VENV)/installed: requirements.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

demo: $(VENV)/installed
	rm -rf $(DEMO)
	$(RUN) -m data_builders.dped.simulate --output_dir=$(DEMO)/photos
	$(RUN) -m data_builders.dped.prepare --phone_dir=$(DEMO)/photos/phone \
		--dslr_dir=$(DEMO)/photos/dslr --scene_separator=_ --output_dir=$(DEMO)/patches
	$(RUN) -m data_builders.dped.build --phone=custom --manual_dir=$(DEMO)/patches \
		--data_dir=$(DEMO)/tfds
	$(RUN) -m dped_jax.train --config=configs/demo.py --workdir=$(DEMO)/model \
		--config.data.data_dir=$(DEMO)/tfds
	$(RUN) -m dped_jax.evaluate --workdir=$(DEMO)/model --json=$(DEMO)/scores.json
	$(RUN) -m dped_jax.enhance --workdir=$(DEMO)/model \
		--input=$(DEMO)/patches/custom/test_data/full_size_test_images --output=$(DEMO)/enhanced
	$(RUN) -m pip install --quiet --disable-pip-version-check "onnx>=1.23"
	$(RUN) -m dped_jax.export --workdir=$(DEMO)/model --output=$(DEMO)/stages --format=onnx \
		--stages --pixels=uint8 --scores=$(DEMO)/scores.json
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory web PAGE=$(DEMO)/web; \
	else echo "The page for the browser is left out: it needs Node 20 and npm."; fi
	$(RUN) -m dped_jax.report --workdir=$(DEMO)/model --scores=$(DEMO)/scores.json \
		--before=$(DEMO)/patches/custom/test_data/full_size_test_images \
		--after=$(DEMO)/enhanced --target=$(DEMO)/photos/dslr --output=$(DEMO)/report.html \
		--page=$(DEMO)/web \
		--note="The cameras of this demo are SIMULATED: no phone took these pictures. Ordinary\
 photographs stand for the DSLR camera's, degraded copies of them for the phone's. The scores say\
 that the program works; the network is cut down and trained for minutes (configs/demo.py)."
	@test ! -d $(DEMO)/web || echo "Your own photos, with this model in the browser: run\
 python3 -m http.server --directory $(DEMO) and open http://localhost:8000/web/"

web/node_modules/installed: web/package-lock.json
	@command -v npm > /dev/null || { echo "make web needs Node 20 and npm" >&2; exit 1; }
	cd web && npm ci --silent --no-audit --no-fund --ignore-scripts
	cp web/package-lock.json $@

web: web/node_modules/installed
	node web/build.mjs --model=$(MODEL) --output=$(PAGE)
	@echo "The page is built: run python3 -m http.server --directory $(PAGE)\
 and open http://localhost:8000"

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/installed-dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

test: $(VENV)/installed-dev
	$(PYTEST)

quick: $(VENV)/installed
	$(RUN) -m pip install --quiet --disable-pip-version-check "pytest>=8.3" "pytest-xdist>=3.6"
	$(PYTEST) $(QUICK)

venv: $(VENV)/installed

venvs:
	@for each in $(others); do $(MAKE) --no-print-directory venv "PYTHON=$$each" & done; wait

# Everything that tests need, at once: make -j2 setup.
setup: $(VENV)/installed-dev venvs

test-all: venvs
	@$(foreach each,$(VERSIONS),$(if $(call python,$(each)),,\
		echo "test-all: no Python $(each) here: skipped";))
	@for each in $(others); do $(MAKE) --no-print-directory quick "PYTHON=$$each" || exit 1; done
	@$(MAKE) --no-print-directory test

bench: $(VENV)/installed-dev
	$(RUN) benchmarks/train.py
	$(RUN) benchmarks/checkpoints.py
	$(RUN) benchmarks/pytorch_steps.py
	$(RUN) benchmarks/prepare.py
	$(RUN) benchmarks/enhance.py
	$(RUN) benchmarks/study.py
	$(RUN) benchmarks/web.py

stress: $(VENV)/installed-dev
	$(RUN) benchmarks/stress.py
	$(RUN) benchmarks/damage.py
