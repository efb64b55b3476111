# knarr: the commands that a user or developer types. Meson and ninja do the building.
#
#   sudo make up      install what is missing, build, start a one-node cluster, show it working
#   sudo make check   install what is missing, build, run every test
#   sudo make down    stop the cluster; its state stays
#   make monitor-demo install what is missing, build, run the monitor with a node exporter
#   make help         every target
BUILD    ?= build
DATA_DIR ?= /var/lib/knarr
CC       ?= gcc
WERROR   ?= false

.PHONY: help deps build up down monitor-demo check soak lint fuzz bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s%s\n", $$1, $$2 }' Makefile

deps: ## what is missing of deps/debian.txt is installed (root)
	@tools/deps

# What the tools say is shown when they fail.
$(BUILD)/build.ninja:
	@mkdir -p $(BUILD)
	@CC="$$(tools/compiler $(CC))" CXX="$$(tools/compiler g++)" meson setup $(BUILD) -Dwerror=$(WERROR) \
		>$(BUILD)/setup.log 2>&1 || { cat $(BUILD)/setup.log >&2; exit 1; }

build: deps $(BUILD)/build.ninja ## every program, in build/ (BUILD=)
	@ninja -C $(BUILD) >$(BUILD)/build.log 2>&1 || { cat $(BUILD)/build.log >&2; exit 1; }
	@tail -n 1 $(BUILD)/build.log
	@for p in $(BUILD)/src/cmd/knarr*; do [ -f "$$p" ] && ln -sf "src/cmd/$${p##*/}" "$(BUILD)/$${p##*/}"; done; true

up: deps ## builds, starts a one-node cluster, shows it working (root; DATA_DIR=)
	@tools/up "$(BUILD)" "$(DATA_DIR)"

down: ## stops the cluster; its state stays
	@if [ -x $(BUILD)/knarr ]; then $(BUILD)/knarr down --data-dir "$(DATA_DIR)"; \
	elif [ ! -e "$(DATA_DIR)/cluster.json" ]; then echo "no cluster runs from $(DATA_DIR)"; \
	else echo "a cluster was started from $(DATA_DIR), but $(BUILD)/knarr is not built: run 'make build' first" >&2; exit 1; fi

monitor-demo: deps build ## builds, runs the monitor with a node exporter
	@tools/monitor-demo $(BUILD)

lint: deps $(BUILD)/build.ninja ## sizes, floors, format, shell scripts
	@tools/lint $(BUILD)

check: deps ## every test: two compilers, sanitizers, end to end (root)
	@tools/check $(BUILD)

# Damages of the store, races of tests/e2e and system calls that fail, for as long as it takes to trust them; make check
# tries some of each.
soak: deps build ## damages of the store, races, failing system calls, for long
	@KNARR_ROUNDS=200 $(BUILD)/tests/unit/store/test_damage
	@KNARR_SOAK=1 KNARR_BUILD="$(BUILD)" bats --tap -f "^race:" tests/e2e
	@tests/fault-run --build "$(BUILD)"

fuzz: deps ## every fuzzer, to be run before landing (FUZZ_SECONDS=)
	@tools/fuzz $(FUZZ_SECONDS)

bench: build ## every program of bench/
	@for b in bench/*.sh; do [ -f "$$b" ] && "$$b" $(BUILD) || true; done

clean: ## removes what was built
	@rm -rf build build-asan build-clang build-fuzz
