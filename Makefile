# make help tells what there is.

PYTHON ?= python3
ALGORITHM ?= kmeans
VARIANT ?= full
TAG ?= 1
# EXTRAS=dev,torch adds torch, for the tests of several hosts and of the GPU's code path on the CPU.
EXTRAS ?= dev
# Options for docker build, such as --network=host or --build-arg TORCH_INDEX=...
DOCKER_BUILD ?=

.PHONY: help env env-mxnet env-sagemaker lint test test-container test-sanitized fuzz quickstart image docs clean

help:                ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 24

env: .venv/.$(EXTRAS)  ## .venv with onepass in it

# An installed project builds its compiled modules; an edited one builds them again.
.venv/.$(EXTRAS): pyproject.toml setup.py $(wildcard recordio/*.pyx recordio/*.pxd algorithms/*/*.pyx)
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --editable '.[$(EXTRAS)]'
	touch $@

env-mxnet: .venv-mxnet/.installed  ## the real MXNet, which needs an old numpy, for tests/golden/test_mxnet.py

.venv-mxnet/.installed:
	$(PYTHON) -m venv .venv-mxnet
	.venv-mxnet/bin/pip install --quiet 'mxnet==1.9.1' 'numpy<1.24'
	touch $@

env-sagemaker: .venv-sagemaker2/.installed .venv-sagemaker3/.installed  ## both SDKs, 1.3 GB, for tests/docs/test_sagemaker.py

.venv-sagemaker2/.installed:
	$(PYTHON) -m venv .venv-sagemaker2
	.venv-sagemaker2/bin/pip install --quiet 'sagemaker[local]<3'
	touch $@

.venv-sagemaker3/.installed:
	$(PYTHON) -m venv .venv-sagemaker3
	.venv-sagemaker3/bin/pip install --quiet 'sagemaker>=3,<4'
	touch $@

lint: env            ## ruff and mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

test: env            ## all tests that need no Docker
	.venv/bin/python -m pytest -m 'not container'

test-container: env  ## build both variants of the image, train and serve in them
	$(MAKE) image VARIANT=slim TAG=$(TAG)-slim
	$(MAKE) image VARIANT=full
	IMAGE=$(ALGORITHM):$(TAG) .venv/bin/python -m pytest -m container tests/container

# Options of libFuzzer for each decoder. `-runs=N -seed=1` gives a run that can be repeated.
FUZZ_OPTIONS ?= -max_total_time=60

fuzz: env            ## fuzz the decoders one after another; needs EXTRAS=dev,fuzz
	for decoder in $(notdir $(wildcard tests/fuzz/corpus/*)); do \
	    PYTHONHASHSEED=0 .venv/bin/python tests/fuzz/fuzz.py $$decoder -verbosity=0 $(FUZZ_OPTIONS) || exit 1; \
	done

test-sanitized: env  ## compiled code under gcc's address and undefined-behaviour sanitizers
	tests/fuzz/instrument sanitized
	tests/fuzz/sanitized .venv/bin/python tests/fuzz/mutate.py 1 10000
	tests/fuzz/sanitized .venv/bin/python -m pytest -p no:cacheprovider $(SANITIZED)

SANITIZED = tests/unit/recordio/test_tensors.py tests/unit/recordio/test_writing.py tests/unit/recordio/test_csv.py \
    tests/unit/recordio/test_libsvm.py tests/unit/recordio/test_json_records.py tests/properties/test_recordio_streams.py \
    tests/unit/algorithms/test_factorization_machines.py tests/unit/algorithms/test_keys.py

quickstart: env      ## train on real data, serve, ask, draw
	.venv/bin/python examples/quickstart.py

image: env           ## docker image of ALGORITHM, and its size
	docker build $(DOCKER_BUILD) -f Dockerfile.cpu --build-arg ALGORITHM=$(ALGORITHM) --build-arg VARIANT=$(VARIANT) \
	    -t $(ALGORITHM):$(TAG) .
	@docker image inspect --format '{{.Size}}' $(ALGORITHM):$(TAG) \
	    | awk '{printf "$(ALGORITHM):$(TAG), variant $(VARIANT): %d MB\n", $$1 / 1e6}'

docs: env            ## write the generated parts of docs/
	.venv/bin/python docs/generate.py

clean:               ## remove the environment and what was built
	rm -rf .venv .venv-mxnet .venv-sagemaker* build quickstart results *.egg-info recordio/*.so algorithms/*/*.so
