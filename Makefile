# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make run      from a bare Debian 12 machine to a comparison report
#   make test     every test, from unit to real boots on both architectures
#   make bench    the speed targets, as ratios (takes about half an hour)
#   make defects  puts defects into the series and sees whether they are found (an hour)
#   make soak     attacks all kernels for SECONDS (default 600) each
#   make install  packtest, its manual and its completion into $(DESTDIR)$(PREFIX);
#                 it needs no Go there
#
# All but the last begin with the same set-up step, which does nothing the
# second time; make test installs a browser as well.

PREFIX ?= /usr/local
ARGS   ?=

# find-go prints the go to use; programs that run go themselves find it in PATH.
GO = go=$$(scripts/find-go) && PATH="$${go%/*}:$$PATH" && export PATH &&

.PHONY: all run test unit bench defects soak build setup setup-test install vet clean

all: build

setup:
	@scripts/setup

# A browser, to look at the pages with. After setup, since apt-get runs once at a time.
setup-test: setup
	@scripts/setup test

# What runs in the guests is compiled here, once, and put into the binary. The
# checkout may be somebody else's: git refuses those unless told, and go with it.
VERSION = $$(git -c safe.directory="$(CURDIR)" describe --always --dirty 2>/dev/null || echo devel)
build: setup
	@$(GO) go run ./initramfs/bake && \
	go build -trimpath -buildvcs=false -ldflags "-X main.version=$(VERSION)" -o bin/packtest ./cmd/packtest

run: build
	@bin/packtest run $(ARGS)

# Tests boot real kernels: the first time they build them (about 15 minutes on
# two cores). One package at a time, since they share build trees.
# PACKTEST_REQUIRE=1 makes a test fail where it would be skipped because the
# machine lacks something.
test: setup-test build vet
	@$(GO) PACKTEST_REQUIRE=1 go tool gotestsum --format pkgname -- -count=1 -p 1 -timeout 80m ./...

# The tests that need no kernel: seconds.
unit: build vet
	@$(GO) go test -short ./...

vet:
	@$(GO) go vet ./... && go tool staticcheck ./...

bench: build
	@$(GO) PACKTEST_BENCH=1 go test -run '^$$' -bench . -benchtime 1x -timeout 3h ./...

# Arguments: make defects ARGS="--arch s390x pack-writable"
defects: build
	@bin/packtest defects $(ARGS)

SECONDS ?= 600
soak: build
	@bin/packtest run --scenario soak --seconds $(SECONDS) $(ARGS)

install: build
	install -D -m 0755 bin/packtest $(DESTDIR)$(PREFIX)/bin/packtest
	bin/packtest man --dir $(DESTDIR)$(PREFIX)/share/man/man1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	bin/packtest completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/packtest
	bin/packtest completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_packtest
	bin/packtest completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/packtest.fish

clean:
	rm -rf bin
	find initramfs/blobs -mindepth 1 ! -name README -delete
