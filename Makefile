# Everything is here: make build, test, check, bench, demo. Needed: Go (the version in go.mod, which go fetches
# itself) and a C compiler, for SQLite.

TAGS       := sqlite_omit_load_extension
STATICTAGS := $(TAGS) osusergo netgo
# musl's static binaries look up hosts and users without the machine's glibc; glibc's serve where musl is missing.
STATICCC   := $(shell command -v musl-gcc || echo gcc)
# The release that calls itself 2026.2.2. go run with a version leaves go.mod alone.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# The race detector is dear: it runs on what is small, and on what starts goroutines.
RACE := ./engine/record ./engine/plan ./engine/reconcile ./engine/schedule ./engine/mapping/expression ./engine/cluster

export CGO_ENABLED := 1

.PHONY: all build test soak check bench bench-fleet demo deps servers clean

all: check test

# One static binary, bin/fieldsync.
build: deps
	CC=$(STATICCC) go build -trimpath -tags '$(STATICTAGS)' \
		-ldflags '-s -w -linkmode external -extldflags "-static"' -o bin/fieldsync ./cmd/fieldsync

# Installs what the tests need, then runs them all. The long tests mostly wait, for real servers and for leases to end: more
# of them at once than there are processors.
WAITING := 6
test: deps servers
	go vet -tags '$(TAGS)' ./...
	FIELDSYNC_SCREENSHOTS='$(CURDIR)/bin/screenshots' go test -timeout 15m -parallel $(WAITING) -tags '$(TAGS)' ./...
	go test -race -tags '$(TAGS)' $(RACE)

# Ten times the random histories that make test lives, on a file, and many more on a server than it does; the bugs that are
# planted to see that they are caught; and ten rounds of killing a running service, and nodes that share one state. It takes an hour or two.
# FIELDSYNC_SEED=n lives the histories or the round of one seed again.
soak: deps servers
	FIELDSYNC_SOAK=10 go test -tags '$(TAGS)' -timeout 3h -v -run 'TestHistories|TestCrashesChangeNothing|TestTheSidesAreEqual|TestAPoisonousRecord|TestPlantedBugs' ./engine
	FIELDSYNC_SOAK=10 go test -tags '$(TAGS)' -timeout 3h -v -run 'TestKilled|TestSeveralNodes' ./cmd/fieldsync

# What a change must pass before it is shown to others. The import table is a test in ./engine.
check: deps
	@unformatted=$$(gofmt -l .); \
		if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w:"; echo "$$unformatted"; exit 1; fi
	go vet -tags '$(TAGS)' ./...
	go run $(STATICCHECK) -tags '$(TAGS)' ./...
	go test -tags '$(TAGS)' -run 'TestPackagesImportOnlyWhatTheTableAllows|TestTheCoreIsPure' ./engine

# What it costs. It fails where PostgreSQL is slower than it may be (engine/state/ratio_bench_test.go).
bench: deps servers
	go test -tags '$(TAGS)' -run '^$$' -bench . ./engine/...
	FIELDSYNC_BENCH_STATE=PostgreSQL go test -tags '$(TAGS)' -run '^$$' -bench 'Fold|Prints|Keys|Link' ./engine/state

# What one, two and three nodes carry; FLEET is how many syncs of how many tickets. Memory: 3 GB. On two cores 200x5000
# takes about ten minutes, and a calm machine, since nodes, state and systems share it.
FLEET ?= 200x5000
bench-fleet: deps servers
	FIELDSYNC_BENCH_FLEET=$(FLEET) go test -tags '$(TAGS)' -timeout 2h -run '^$$' -bench Fleet ./cmd/fieldsync

# A tour of the main job on this machine alone.
demo: deps
	go build -trimpath -tags '$(TAGS)' -o bin/fieldsync ./cmd/fieldsync
	bin/fieldsync demo

# A C compiler and the modules of go.mod.
deps:
	@command -v go >/dev/null || { echo "Go is missing: https://go.dev/dl/" >&2; exit 1; }
	@command -v cc >/dev/null || command -v gcc >/dev/null || { \
		echo "no C compiler: installing gcc"; \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		command -v apt-get >/dev/null && $$sudo apt-get update -q && $$sudo apt-get install -qy --no-install-recommends gcc libc6-dev; \
	} || { echo "install a C compiler (Debian: apt-get install gcc libc6-dev)" >&2; exit 1; }
	@go mod download

# Real servers, for tests that start private ones: PostgreSQL, MariaDB, Request Tracker, Redmine; Chromium, for those of
# the console; and Mono, for those of the scripts for DataMiner. Where one cannot be installed its tests are skipped, and say so. RUNLEVEL=1 keeps Debian from starting the
# machine's.
sudo   := $(if $(filter 0,$(shell id -u)),,sudo)
apt    := $(sudo) env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends -o DPkg::Lock::Timeout=120
update = $(sudo) apt-get update -q
# Redmine's package is unpacked here, and what it depends on installed: installing it would set up a Redmine for the
# machine, and fails with a Ruby that it runs well on.
REDMINE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fieldsync/redmine
absent  = || echo "not installed: $(1); the tests that need it are skipped" >&2

servers:
	@{ command -v initdb || ls /usr/lib/postgresql/*/bin/initdb; } >/dev/null 2>&1 || { \
		$(update) && $(apt) install postgresql; } $(call absent,PostgreSQL)
	@{ command -v mariadbd || ls /usr/sbin/mariadbd; } >/dev/null 2>&1 && command -v my_print_defaults >/dev/null || { \
		$(update) && $(apt) install mariadb-server-core mariadb-client-core; } $(call absent,MariaDB)
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null 2>&1 || { \
		$(update) && $(apt) install chromium; } $(call absent,Chromium)
	@command -v mcs >/dev/null && command -v mono >/dev/null && ls /usr/lib/cli/Newtonsoft.Json-5.0/Newtonsoft.Json.dll >/dev/null 2>&1 || { \
		$(update) && $(apt) install mono-mcs libnewtonsoft-json5.0-cil; } $(call absent,Mono)
	@ls /usr/share/request-tracker5/libexec/rt-server /usr/share/doc/rt5-standalone /usr/share/doc/rt5-db-sqlite >/dev/null 2>&1 || { \
		$(update) && echo "request-tracker5 request-tracker5/dbconfig-install boolean false" | $(sudo) debconf-set-selections && \
		$(apt) install request-tracker5 rt5-db-sqlite rt5-standalone msmtp-mta; } $(call absent,Request Tracker)
	@{ ls "$(REDMINE)/usr/share/redmine/config.ru" || ls /usr/share/redmine/config.ru; } >/dev/null 2>&1 && command -v puma >/dev/null || { \
		$(update) && $(apt) satisfy "$$(apt-cache show --no-all-versions redmine | sed -n 's/^Depends: //p')" redmine-sqlite puma && \
		rm -rf "$(REDMINE)" && mkdir -p "$(REDMINE)" && cd "$(REDMINE)" && apt-get download -q redmine && \
		dpkg-deb -x redmine_*.deb . && rm redmine_*.deb; } $(call absent,Redmine)

clean:
	rm -rf bin
