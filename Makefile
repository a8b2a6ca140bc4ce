# make test   installs what the tests need (says what) and runs all of them; those over real routes need Linux and root
# make check  formatting, go vet, staticcheck, govulncheck where its database can be reached
# make race   the tests under the race detector, but for those that start other programs and have nothing run side by
#             side in goferry (RACE_SKIP): make test runs these
# make fuzz   each fuzz target for FUZZTIME
# make bench  the benchmarks of docs/benchmarks.md
# make bench-weak  those over weak links (fetches 260 MB of modules once, and takes an hour)
# make soak   goferry serve under random faults for SOAK, with the go command in front of it

GO ?= go
FUZZTIME ?= 10s
BENCHTIME ?= 2s
SOAK ?= 10m

# The README's goferry is built without the race detector; shells, compilers, package managers and the steps of a Dockerfile run one
# after the other; what SDKs, bundles, graphs and the doctor do side by side is in the tests of their rooms; the scenarios of the doctor measure
# time, which the detector stretches: a healthy and a dead network stand for them.
RACE_SKIP = ^TestReadme$$|^TestScenarios$$|^TestDockerfileBuilds$$|^TestImage|^TestBundle(Import|Create)Killed$$|^TestScript$$/^(sdk_.*|env_.*|doctor.*|cli_.*|on_.*|err_.*|vendor|dockerfile|graph.*|bundle_create.*|bundle_sdk|bundle_minisign)$$

.PHONY: build test live check race fuzz bench bench-weak soak test-deps

build:
	$(GO) build -o bin/goferry ./cmd/goferry

test-deps:
	@sh scripts/test-deps.sh

test: test-deps
	$(GO) test ./...
	@GO="$(GO)" sh scripts/netns.sh
	@sh scripts/live.sh

check:
	@sh scripts/check.sh

race: test-deps
	@echo 'race: left to make test: $(RACE_SKIP)'
	$(GO) test -race -short -skip '$(RACE_SKIP)' -timeout 20m ./...
	$(GO) test -race -short -run '^$$' -bench '(Healthy|Dead)Network' -benchtime 1x ./internal/doctor

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
