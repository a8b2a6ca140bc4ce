# make test   installs what the tests need (says what) and runs all of them
# make check  formatting, go vet, staticcheck, govulncheck where its database can be reached
# make race   the tests under the race detector
# make fuzz   each fuzz target for FUZZTIME
# make bench  the benchmarks of docs/benchmarks.md

GO ?= go
FUZZTIME ?= 10s
BENCHTIME ?= 2s

.PHONY: build test live check race fuzz bench test-deps

build:
	$(GO) build -o bin/goferry ./cmd/goferry

test-deps:
	@sh scripts/test-deps.sh

test: test-deps
	$(GO) test ./...
	@sh scripts/live.sh

check:
	@sh scripts/check.sh

race: test-deps
	$(GO) test -race -short ./...

fuzz:
	@GO="$(GO)" FUZZTIME="$(FUZZTIME)" sh scripts/fuzz.sh

bench:
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) -timeout 60m ./cmd/goferry ./internal/store ./internal/server
