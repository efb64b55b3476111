# knarr: the commands that a user or developer types. Meson and ninja do the building.
#
#   sudo make up      install what is missing, build, start a one-node cluster, show it working
#   sudo make check   install what is missing, build, run every test
#   sudo make down    stop the cluster; its state stays
BUILD    ?= build
DATA_DIR ?= /var/lib/knarr
CC       ?= gcc
WERROR   ?= false

.PHONY: deps build up down check lint fuzz bench clean

deps:
	@tools/deps

$(BUILD)/build.ninja:
	@CC="$$(tools/compiler $(CC))" CXX="$$(tools/compiler g++)" meson setup $(BUILD) -Dwerror=$(WERROR) >/dev/null

build: deps $(BUILD)/build.ninja
	@ninja -C $(BUILD) | tail -n 1
	@for p in $(BUILD)/src/cmd/knarr*; do [ -f "$$p" ] && ln -sf "src/cmd/$${p##*/}" "$(BUILD)/$${p##*/}"; done; true

up: deps
	@tools/up "$(BUILD)" "$(DATA_DIR)"

down:
	@if [ -x $(BUILD)/knarr ]; then $(BUILD)/knarr down --data-dir "$(DATA_DIR)"; \
	elif [ ! -e "$(DATA_DIR)/cluster.json" ]; then echo "no cluster runs from $(DATA_DIR)"; \
	else echo "a cluster was started from $(DATA_DIR), but $(BUILD)/knarr is not built: run 'make build' first" >&2; exit 1; fi

lint: deps $(BUILD)/build.ninja
	@tools/lint $(BUILD)

check: deps
	@tools/check $(BUILD)

fuzz: deps
	@tools/fuzz $(FUZZ_SECONDS)

bench: build
	@for b in bench/*.sh; do [ -f "$$b" ] && "$$b" $(BUILD) || true; done

clean:
	@rm -rf build build-asan build-clang build-fuzz
