# make quick   the tests that take no time, without the race detector: after each change
# make test    the same with the race detector, on SQLite: before a commit
# make check   everything, as CI runs it: before a push
# make demo    agents exchange messages through a real gateway
# make bench   how fast, as ratios measured in one run
# make release VERSION=v1.2.3   archives and packages for all systems, in dist/
# make sim     two gateways in memory time, SEEDS seeds from FIRST
# make crash   kill the gateway under load, CYCLES times, and judge the times too

GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
CYCLES      ?= 200
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: check quick test need format vet lint lint-openapi sizes all sim demo build release bench crash fuzz pages

check: need format vet lint sizes all sim

# What has to be installed is said, or installed where we are root, before
# anything runs.
need:
	@sh tools/need

format:
	@files=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$files" ]; then echo "not gofmt-ed:"; echo "$$files"; exit 1; fi

vet:
	$(GO) vet ./...
	GOOS=windows $(GO) vet ./internal/app ./internal/operate ./internal/store/sqlite ./internal/cli ./internal/profile \
		./internal/render ./internal/doctor ./internal/service
	GOOS=darwin $(GO) vet ./internal/app ./internal/operate ./internal/store/sqlite ./internal/cli ./internal/profile \
		./internal/render ./internal/doctor ./internal/service

lint:
	$(GO) run $(STATICCHECK) ./...

# What two linters say of the API's document, which is a part of test too.
lint-openapi:
	$(GO) test -count=1 -v ./internal/openapi/clients -run 'TestNode/(redocly|spectral)'

sizes:
	@$(GO) run ./tools/sizes

# All packages share one PostgreSQL. A package takes less than five minutes on a
# quiet machine; -timeout is for a busy one. The race detector watches all code but
# SQLite itself, a C program translated into Go: a connection's memory belongs to
# one goroutine at a time. Watching it makes SQLite's tests use about four times the
# processor time. With umask 000 everything that is made would be open to everybody, and
# no gateway would start in it.
RACE := -race -gcflags='github.com/ncruces/go-sqlite3-wasm/...=-race=false'

all: need
	umask 022; CGO_ENABLED=1 $(GO) run ./tools/postgres $(GO) run ./tools/tests $(GO) test $(RACE) -timeout 30m ./...

# What takes long is left to make check: each such test says why (internal/test/slow).
quick:
	umask 022; $(GO) run ./tools/tests $(GO) test -short -timeout 10m ./...

test:
	umask 022; CGO_ENABLED=1 $(GO) run ./tools/tests $(GO) test -short $(RACE) -timeout 30m ./...

# Without the race detector, which is ten times as slow; with it "all" runs a hundred
# of them. Whoever looks for more gives another FIRST.
FIRST ?= 1
SEEDS ?= 10000
sim:
	$(GO) run ./tools/tests $(GO) test -count=1 -timeout 30m ./internal/test/sim -first $(FIRST) -seeds $(SEEDS)

demo:
	@echo "The first time Go compiles for some minutes."
	$(GO) run ./cmd/amtp demo

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X github.com/amtp-go/amtp/internal/cli.release=$(VERSION)" -o amtp ./cmd/amtp

release:
	$(GO) run ./tools/release $(VERSION)

# The generated pages of docs, after a change of what they are made from, and the
# prose of all pages filled.
pages:
	$(GO) test ./internal/config -run TestDocumentationIsFresh -update
	$(GO) test ./internal/cli -run 'TestErrorsPage|TestCommandsPage' -update
	$(GO) test ./internal/openapi -run TestPageIsFresh -update
	$(GO) test ./docs -run TestPlaces -update
	$(GO) run ./tools/wrap $$(git ls-files '*.md')

bench:
	$(GO) run ./bench $(BENCH)

crash:
	CRASH_CYCLES=$(CYCLES) CRASH_TIMES=1 $(GO) test -count=1 -timeout 90m -v ./internal/test/crashtest

# FUZZ inputs for each target. A number, not a time: when a time is over, Go 1.26
# sometimes says "context deadline exceeded" and fails (golang/go issue 75804).
FUZZ ?= 100000
fuzz:
	@set -e; targets=$$(git grep -E '^func Fuzz[A-Za-z0-9_]*\([a-z]+ \*testing\.F\) \{$$' -- '*_test.go'); \
	echo "$$targets" | while IFS=: read -r file line; do \
		f=$$(echo "$$line" | sed 's/^func //; s/(.*//'); pkg=./$$(dirname "$$file"); \
		echo "$$f in $$pkg"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZ)x -fuzzminimizetime 1000x $$pkg; \
	done
