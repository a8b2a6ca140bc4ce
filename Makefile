# make test   installs what the tests need (says what) and runs all of them
# make check  formatting, go vet, staticcheck, govulncheck where its database can be reached
# make race   the tests under the race detector
# make fuzz   each fuzz target for FUZZTIME
# make bench  the benchmarks of docs/benchmarks.md
# make bench-weak  those over weak links (fetches 260 MB of modules once, and takes an hour)
# make soak   goferry serve under random faults for SOAK, with the go command in front of it

GO ?= go
FUZZTIME ?= 10s
BENCHTIME ?= 2s
SOAK ?= 10m

.PHONY: build test live check race fuzz bench bench-weak soak test-deps

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
	$(GO) test -race -short -timeout 20m ./...

fuzz:
	@GO="$(GO)" FUZZTIME="$(FUZZTIME)" sh scripts/fuzz.sh

bench:
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) -timeout 60m ./cmd/goferry ./internal/store ./internal/server
	$(GO) test -run '^$$' -bench 'Unpack|Verify|Network|Handshakes' -benchtime 5x -timeout 60m ./internal/toolchain ./internal/doctor

bench-weak:
	@GO="$(GO)" sh scripts/weak-tree.sh
	$(GO) test -tags weak -run '^$$' -bench Weak -benchtime 1x -timeout 3h ./cmd/goferry

soak:
	SOAK=$(SOAK) $(GO) test -tags weak -run '^TestSoak$$' -count 1 -timeout 0 -v ./cmd/goferry
