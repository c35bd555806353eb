# make demo | test | lint | bench: each sets up .venv itself, again when the requirements changed.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
DEMO := runs/demo
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.jax_cache

.PHONY: demo test lint format bench

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
	$(RUN) -m dped_jax.report --workdir=$(DEMO)/model --scores=$(DEMO)/scores.json \
		--before=$(DEMO)/patches/custom/test_data/full_size_test_images \
		--after=$(DEMO)/enhanced --target=$(DEMO)/photos/dslr --output=$(DEMO)/report.html \
		--note="The cameras of this demo are SIMULATED: no phone took these pictures. Ordinary\
 photographs stand for the DSLR camera's, degraded copies of them for the phone's. The scores say\
 that the program works; the network is cut down and trained for minutes (configs/demo.py)."

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(VENV)/installed-dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

test: $(VENV)/installed-dev
	$(RUN) -m pytest

bench: $(VENV)/installed-dev
	$(RUN) benchmarks/train.py
	$(RUN) benchmarks/prepare.py
	$(RUN) benchmarks/enhance.py
	$(RUN) benchmarks/study.py
