# make test   installs what the tests need (says what) and runs all of them; those over real routes need Linux and root
# make check  formatting, go vet, staticcheck, govulncheck where its database can be reached
# make race   the tests in which things run side by side, under the race detector
# make fuzz   each fuzz target for FUZZTIME
# make bench  the benchmarks of docs/benchmarks.md
# make bench-weak  those over weak links (fetches 260 MB of modules once, and takes an hour)
# make cgo-matrix  builds real cgo programs for every target, starts them where something here can, and holds docs/cgo.md to it (20 minutes)
# make soak   goferry serve under random faults for SOAK, with the go command in front of it

GO ?= go
# How many tests of a room run at a time: many wait for a time-out.
PARALLEL ?= 4
FUZZTIME ?= 10s
BENCHTIME ?= 2s
SOAK ?= 10m

# The race detector finds what it sees run side by side, at eight times the price. So it gets the rooms that start goroutines, and of goferry
# itself the tests in which clients, fills and guesses meet. What kills, starts or judges other programs, reads one file over and over in search of
# a wrong bit, or measures time is left to make test.
RACE_ROOMS = $$($(GO) list ./internal/... | grep -vE '/internal/(arch|binary|config|draw|goproxytest|shellenv|tcptrace|text.*|vendoring|web)$$')
RACE_ROOMS_SKIP = ^Test(Scenarios|Mercurial|Kill|FetchKilled|InstallKilled|Self.*|Bomb|Many|FlippedBits|EveryByte|FileModel|ZipDirectoryLimits|HashZipParts|Accounts|Repair|WalkMemory|ClientTooLarge|Explain.*|CheckOne|CheckAsGoBuilds|CheckErrors|CheckBothWays|FindReal|TraceTest|News)$$
RACE_GOFERRY = ^Test(SharedCache|NothingLeaks|ParallelMisses|FirstAskerLeaves|OnlyAskerLeaves|HangingUpstream|FetchInterrupted|GracefulStop|StopHasAnEnd|KeepRemembering|ServeTLS|Failures|FaultyArchiveHosts|BundleServeDamaged|Script)$$
RACE_SCRIPTS_SKIP = ^TestScript$$/^(build|build_.*|bundle_[^f].*|cache_.*|cgo_.*|cli_.*|direct_.*|dockerfile|doctor.*|env_.*|err_.*|fail_.*|graph.*|hostile_(endless|zip)|inspect.*|on_.*|sdk_.*|sumdb_[^u].*|vendor)$$

.PHONY: build test cgo-matrix check race fuzz bench bench-weak soak test-deps

build:
	$(GO) build -o bin/goferry ./cmd/goferry

# What apt downloads, the compiler need not wait for. Without gcc there is no cgo, and all of it would be compiled once more.
test-deps:
	@if command -v gcc >/dev/null; then $(GO) vet ./... >/dev/null 2>&1; fi & sh scripts/test-deps.sh; status=$$?; wait; exit $$status

test: test-deps
	$(GO) test -parallel $(PARALLEL) ./...
	@GO="$(GO)" sh scripts/netns.sh
	@sh scripts/live.sh

cgo-matrix: test-deps
	GOFERRY_CGO_MATRIX=all $(GO) test -count=1 -tags live -timeout 2h -run '^Test(CgoMatrix|LiveCgo.*)$$' ./cmd/goferry
	GOFERRY_CGO_MATRIX=all $(GO) test -count=1 -timeout 1h -run '^TestGoTargets$$' ./internal/binary

check:
	@sh scripts/check.sh

race: test-deps
	$(GO) test -race -short -parallel $(PARALLEL) -timeout 20m -skip '$(RACE_ROOMS_SKIP)' $(RACE_ROOMS)
	$(GO) test -race -short -parallel $(PARALLEL) -timeout 20m -run '$(RACE_GOFERRY)' -skip '$(RACE_SCRIPTS_SKIP)' ./cmd/goferry
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
