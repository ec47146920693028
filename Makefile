# `make help` tells what there is.  A bare Debian is enough for each target:
# what it needs is installed by tools/deps, which is quick when all is there.
#
#     NGINX_SRC=DIR   build for this nginx source tree, not for nginx-dev
#     BUILD=DIR       where everything is built; default: build
#     T=FILES         suites or folders that `make test` and others run

SHELL = /bin/bash
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:

BUILD := $(abspath $(or $(BUILD),build))
export BUILD

CC = gcc
FUZZ_SECONDS ?= 30
export FUZZ_SECONDS

# pure code is tested on its own, with everything that the compiler checks
ARCH_CFLAGS := $(if $(filter x86_64,$(shell uname -m)),-mcx16)
TEST_CFLAGS = -std=gnu11 -Wall -Wextra -Werror -g -O1 $(ARCH_CFLAGS) \
    -fsanitize=address,undefined -fno-sanitize-recover=all \
    -fno-omit-frame-pointer -Isrc/algo -It/unit

ALGO := $(wildcard src/algo/*.c)
ALGO_O := $(ALGO:src/algo/%.c=$(BUILD)/unit/algo/%.o)
UNIT := $(patsubst t/unit/%.c,$(BUILD)/unit/%,$(wildcard t/unit/test_*.c))
REPLAY := $(patsubst t/fuzz/%.c,$(BUILD)/unit/%,$(wildcard t/fuzz/fuzz_*.c))

.PHONY: all help deps build demo test unit suites suites-hup faults \
    asan fuzz lint docs-check bench matrix clean

all: build

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' Makefile \
	    | while IFS='|' read -r t d; do printf '%-12s %s\n' "$$t" "$$d"; done

deps: ## installs what `make test` needs and is missing
	@tools/deps test

deps-%:
	@tools/deps $*

build: deps-build ## builds build/ngx_http_apiscale_module.so
	@tools/build

demo: build ## starts nginx with limits, versions, cache and a dashboard
	@tools/demo

test: deps build ## unit tests, then all suites, by start and by reload (T=)
ifeq ($(T),)
	@$(MAKE) unit
endif
	@$(MAKE) suites
	@$(MAKE) suites-hup

unit: $(UNIT) $(REPLAY) ## unit tests and the fuzzers' corpus
	@[ -n "$(UNIT)" ] || { echo "no unit tests in t/unit/" >&2; exit 1; }
	@CMOCKA_MESSAGE_OUTPUT=TAP ASAN_OPTIONS=detect_leaks=1 \
	    prove --norc --timer -j$(or $(TEST_JOBS),2) --exec '' \
	    $(UNIT) $(REPLAY) </dev/null

suites: ## the Test::Nginx suites on the module that is built (T=)
	@tools/run-tests $(T)

suites-hup: ## the same, each block by a reload of one server (T=)
	@tools/run-tests --hup $(T)

faults: deps-faults build ## fault injection: fake Redis, kills, reloads (T=)
	@tools/run-tests -j1 $(or $(T),t/faults)

asan: deps-asan ## the suites on nginx and module with sanitizers (T=)
	@tools/asan $(T)

fuzz: deps-fuzz ## libFuzzer on each harness for FUZZ_SECONDS=30
	@tools/fuzz

lint: deps-lint build ## the rules of the house, cppcheck, shellcheck
	@tools/lint

docs-check: build ## links and pages of docs/, nginx -t of examples/
	@tools/docs-check

bench: deps-bench build ## measures against plain nginx and its own modules
	@tools/bench

matrix: deps-matrix ## builds and tests on Debian 13 and sid, too
	@tools/matrix

clean: ## removes what was built
	rm -rf "$(BUILD)"

$(BUILD)/unit/algo/%.o: src/algo/%.c
	@mkdir -p $(@D)
	@$(CC) $(TEST_CFLAGS) -MMD -c -o $@ $<

# cmocka 2 deprecates what cmocka 1 has no other name for
$(BUILD)/unit/test_%: t/unit/test_%.c $(ALGO_O)
	@$(CC) $(TEST_CFLAGS) -Wno-deprecated-declarations -MMD -o $@ $< \
	    $(ALGO_O) -lcmocka -lm

$(BUILD)/unit/fuzz_%: t/fuzz/fuzz_%.c t/fuzz/replay.c $(ALGO_O)
	@$(CC) $(TEST_CFLAGS) -DREPLAY_CORPUS='"t/fuzz/corpus/$*"' \
	    -o $@ $< t/fuzz/replay.c $(ALGO_O) -lm

.SECONDARY: $(ALGO_O)

-include $(wildcard $(BUILD)/unit/*.d $(BUILD)/unit/algo/*.d)
