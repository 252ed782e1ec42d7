# make demo and make test need Go, make and, for the race detector, a C compiler.
# "make help" lists the rest.

SHELL := /bin/sh
GO_MIN := 1.26
NODE_MIN := 20.19

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
PREFIX ?= /usr/local
FUZZTIME ?= 30s
PKGS ?= ./...

# Packages whose tests send real packets. They run a second time as a plain user
# and a third time under a stock kernel.
DATAPLANE ?= ./nft ./nfq ./ctsync ./ctsync/kerneltest ./suite ./check ./health ./internal/confine ./internal/lab ./hashing

# The pages are built where there is Node; "make WEB=" leaves them out.
WEB ?= $(shell v=$$(node -p process.versions.node 2>/dev/null) && \
	[ "$$(printf '%s\n' $(NODE_MIN) "$$v" | sort -V | head -n 1)" = $(NODE_MIN) ] && echo yes)

GOBUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)'
TOOL := go tool -modfile=tools/go.mod
REPORT := go run ./scripts/testreport $(if $(CI),-strict)
GOTEST := go test -json -count=1 $(if $(RUN),-run "$(RUN)")
# Those of DATAPLANE that are there and have tests.
dataplane = $(shell go list -e -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' $(DATAPLANE))

.PHONY: build program web demo test test-kernel test-user test-vm test-vm61 test-long test-life test-browser screenshots \
	bench bench-page bench-smoke bench-vm cover fuzz lint lint-web lint-openapi generate check-generated check-contract fmt man deb rpm \
	test-package install clean help need-go need-cc need-node

# The program alone has the pages that there are: none before "make web".
build: $(if $(WEB),web) ## build bin/roamlb (the default)
build program: need-go
	$(GOBUILD) -o bin/roamlb ./cmd/roamlb

web: need-node web/dist/index.html ## build the pages that bin/roamlb embeds

# What Vite reads, but for what is generated on the way.
pages = $(filter-out %.gen.d.ts,$(wildcard web/*.json web/*.ts web/index.html web/docs/*) $(shell find web/src -type f))
web/dist/index.html: web/node_modules/.package-lock.json openapi/openapi.yaml $(pages)
	@cd web && npm run --silent build

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci
	@touch $@

# Whoever stays wants the pages too.
demo: $(if $(KEEP),build,program) ## show roaming between network namespaces; KEEP=1 stays up with the dashboard
	./bin/roamlb demo $(if $(KEEP),--keep)

# What is timed runs by itself. In the suite it is the program under test that is
# built with the race detector, not what sends to it, and what runs in parallel
# there waits most of the time.
packages = $(shell go list $(PKGS))
timed = $(filter %/suite %/ctsync/kerneltest,$(packages))
test: need-go need-cc ## unit and data-plane tests with the race detector; PKGS=./nft RUN=Name to choose
	@CGO_ENABLED=1 ROAMLB_RACE=1 $(REPORT) sh -c ' \
	$(if $(filter-out $(timed),$(packages)),$(GOTEST) -race -p 4 -timeout 5m $(filter-out $(timed),$(packages));) \
	$(if $(filter %/kerneltest,$(timed)),$(GOTEST) -race -timeout 5m $(filter %/kerneltest,$(timed));) \
	$(if $(filter %/suite,$(timed)),$(GOTEST) -timeout 5m -parallel 6 $(filter %/suite,$(timed));)'

test-kernel: export ROAMLB_DATAPATH = kernel
test-kernel: export CGO_ENABLED = 1
test-kernel: export ROAMLB_RACE = 1
test-kernel: need-go need-cc ## the data-plane suite with datapath kernel, the program with the race detector
	@$(REPORT) $(GOTEST) -timeout 8m -parallel 6 ./suite

# Where the tests run for these two there is no compiler: the program goes along.
test-user test-vm test-vm61: export ROAMLB_BIN = $(CURDIR)/bin/roamlb

test-user: program ## the data-plane tests as nobody (when root; else as you)
	@$(REPORT) $(GOTEST) -timeout 5m -exec "'$(CURDIR)/scripts/as-nobody.sh'" $(dataplane)

# Left out: what takes an emulated kernel too long, and fuzz targets, to which all
# kernels are the same.
VM_LEAVE ?= ^Fuzz|TestRefusedPacketsAreHeeded|TestDriftUnderTraffic|TestKeepalivedPair|TestDayOfRoaming|TestDaemonIsConfined|TestManyChangesUnderTraffic|TestKilledAtRandomMoments|TestLinksAndAddressesComeAndGo|TestDrainEndsWhenNobodyIsLeft|TestStateThatCannotBeReadIsRefused|TestOutOfDescriptors|TestFloodOfSpoofedRoams|TestNewFlowsWhileTheAPIIsHammered|TestDrainOutlivesTheDaemon|TestSlowStart|TestAPIWithManyServices|TestAcknowledgedChanges|TestRoamsWhileTheDaemonHangs|TestNetlinkBuffersOverflow
test-vm: export ROAMLB_VM = 1
test-vm: export ROAMLB_SCALE ?= 0.1
test-vm: program ## the data-plane tests under Debian's kernel in QEMU, at a tenth of the counts
	@CGO_ENABLED=0 $(REPORT) $(GOTEST) -p 1 -timeout 25m -skip '$(VM_LEAVE)' -exec "'$(CURDIR)/scripts/stock-kernel.sh' -t 1560 --" $(dataplane)

# Debian 12's kernel is the oldest that is supported. Of the tests those run whose
# outcome a kernel can change: the rules and their listing, queues, conntrack,
# and of the suite the ways that sessions, entries and daemons go.
VM61_LEAVE ?= ^Fuzz|TestTextOf|TestLoadableText|TestGolden|TestChangesLead|TestRateOf
VM61_SUITE ?= TestRoaming|TestTakeover|TestSpoof|TestSharedEntry|TestOneWayFlow|TestErrors|TestManySessions|TestBackendRemoved|TestDaemonIsConfined
VM61 = $(CURDIR)/scripts/stock-kernel.sh -k 6.1 -t 540 --
test-vm61: export ROAMLB_VM = 1
test-vm61: export ROAMLB_SCALE ?= 0.1
test-vm61: program ## a part of the data-plane tests under Debian 12's Linux 6.1 in QEMU
	@export CGO_ENABLED=0; $(REPORT) sh -c ' \
	$(GOTEST) -p 1 -timeout 9m -skip "$(VM61_LEAVE)" -exec "$(VM61)" ./nft ./nfq ./ctsync/kerneltest ./internal/confine; \
	$(GOTEST) -timeout 9m -run "$(VM61_SUITE)" -exec "$(VM61)" ./suite'

test-long: export ROAMLB_LONG = 1
test-long: export ROAMLB_SCALE ?= 1
test-long: need-go ## the data-plane, daemon and API tests with all their repetitions, the dashboard's; half an hour
	@$(REPORT) $(GOTEST) -p 1 -timeout 60m $(dataplane) ./daemon ./api
	$(if $(WEB),@$(MAKE) test-browser)

test-life: need-node web/node_modules/.package-lock.json program ## the TypeScript client against the daemon, with real packets
	@scripts/life.sh

test-browser: need-node build ## the dashboard in headless Chromium, with real packets; STEP="part of its name" to choose
	@scripts/browser.sh $(if $(STEP),'$(STEP)')

screenshots: need-node build ## pictures of every page of the demo, to bin/screenshots
	@scripts/screenshots.sh bin/screenshots

# The program that measures starts itself again as the daemon.
build_bench := go build -trimpath -buildvcs=false -o bin/bench ./scripts/bench
# What the last "make bench-vm" found, for the figures beside IPVS.
beside = $(addprefix -beside ,$(wildcard bin/bench-vm.json))
bench: need-go ## measure beside what the kernel does alone; writes docs/performance.md; ROUNDS=7 ONLY=new-flows
	CGO_ENABLED=0 $(build_bench)
	./bin/bench -rounds $(or $(ROUNDS),7) $(beside) $(if $(ONLY),-only $(ONLY),-document docs/performance.md -json bin/bench.json)

bench-page: need-go ## docs/performance.md anew, from what the last make bench and bench-vm have found
	CGO_ENABLED=0 $(build_bench)
	./bin/bench -from bin/bench.json $(beside) -document docs/performance.md

bench-smoke: need-go ## that the benchmarks run and count right, in a minute
	CGO_ENABLED=0 $(build_bench)
	./bin/bench -smoke

bench-vm: export ROAMLB_VM = 1
bench-vm: need-go ## the same under Debian's kernel in QEMU, beside IPVS
	CGO_ENABLED=0 $(build_bench)
	@bash -o pipefail -c 'scripts/stock-kernel.sh -t 7200 -- ./bin/bench -vm -rounds $(or $(ROUNDS),7) \
	$(if $(ONLY),-only $(ONLY)) -json - | tee bin/bench-vm.log'
	@sed -n '/^{$$/,/^}$$/p' bin/bench-vm.log >bin/bench-vm.json
	@test -s bin/bench-vm.json || { rm bin/bench-vm.json; echo 'bench-vm: no results in bin/bench-vm.log' >&2; exit 1; }

cover: need-go ## coverage of every package; cover.out for "go tool cover -html"
	go test -count=1 -timeout 5m -coverprofile=cover.out $(PKGS)
	@go tool cover -func=cover.out | tail -n 1

fuzz: need-go ## every fuzz target for FUZZTIME each (30s)
	@scripts/fuzz.sh $(FUZZTIME) $(PKGS)

lint: need-go ## golangci-lint, shellcheck where installed
	$(TOOL) golangci-lint run
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; \
	else echo 'shellcheck is not installed: scripts not checked'; fi

lint-web: need-node web/node_modules/.package-lock.json ## the pages' types, unit tests, eslint, prettier
	@cd web && npm run --silent check && npm run --silent test && npm run --silent lint

lint-openapi: need-node web/node_modules/.package-lock.json ## redocly on the API's description
	@cd web && npm run --silent lint:openapi

generate: need-go ## what is made of openapi/openapi.yaml
	go generate ./openapi

# Made beside the committed file, so that the work tree stays as it is.
check-generated: need-go ## fail unless "make generate" would change nothing
	@new=$$(mktemp) && trap 'rm -f "$$new"' EXIT && \
	$(TOOL) oapi-codegen -config openapi/oapi-codegen.yaml -o "$$new" openapi/openapi.yaml && \
	cmp openapi/openapi.gen.go "$$new" || { echo 'run make generate, and commit' >&2; exit 1; }

check-contract: need-go ## fail when openapi.yaml breaks what was published
	@scripts/contract.sh

fmt: need-go ## format the Go code as lint wants it
	$(TOOL) gofumpt -w .
	$(TOOL) goimports -local github.com/roamlb/roamlb -w .

man: build ## man pages and shell completions, to bin/
	./bin/roamlb generate bin

install: man ## install to PREFIX (/usr/local), below DESTDIR
	install -D -m 0755 bin/roamlb '$(DESTDIR)$(PREFIX)/bin/roamlb'
	install -D -m 0644 -t '$(DESTDIR)$(PREFIX)/share/man/man1' bin/man1/*.1
	install -D -m 0644 bin/completions/roamlb.bash '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/roamlb'
	install -D -m 0644 bin/completions/_roamlb '$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_roamlb'
	install -D -m 0644 bin/completions/roamlb.fish '$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/roamlb.fish'

# dpkg and rpm take no "v" and no "-" in a version.
PACKAGE_VERSION ?= $(shell printf '%s\n' '$(VERSION)' | sed -E 's/^v([0-9])/\1/;t d;s/^/0.0.0-/;:d;s/-/+/;s/-/./g')

deb rpm: man ## a package, to bin/
	@mkdir -p bin/package/man1 && rm -f bin/package/man1/*
	@for page in bin/man1/*.1; do gzip -9nc "$$page" >"bin/package/man1/$${page##*/}.gz" || exit; done
	@GOARCH=$$(go env GOARCH) PACKAGE_VERSION='$(PACKAGE_VERSION)' SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 0) \
	$(TOOL) nfpm package --config deploy/nfpm.yaml --packager $@ --target bin/

# An upgrade takes two packages; the tests know their versions.
test-package: need-go ## what the packages hold, and their life on a machine with systemd, in QEMU
	@$(MAKE) --no-print-directory deb rpm VERSION=v0.0.1 >/dev/null
	@$(MAKE) --no-print-directory deb rpm VERSION=v0.0.2 >/dev/null
	@export ROAMLB_DEB="$$(echo $(CURDIR)/bin/roamlb_0.0.2_*.deb)" ROAMLB_OLD_DEB="$$(echo $(CURDIR)/bin/roamlb_0.0.1_*.deb)" \
	ROAMLB_RPM="$$(echo $(CURDIR)/bin/roamlb-0.0.2-*.rpm)" CGO_ENABLED=0; $(REPORT) sh -c ' \
	$(GOTEST) -tags packages -skip TestPackageLife ./deploy; \
	ROAMLB_LIFE=1 $(GOTEST) -tags packages -run TestPackageLife -timeout 14m \
		-exec "$(CURDIR)/scripts/stock-kernel.sh -t 800 -s --" ./deploy'

clean: ## remove what was built
	rm -rf bin cover.out web/node_modules web/test/build web/e2e/build web/unit/build web/src/api.gen.d.ts
	find web/dist -mindepth 1 ! -name .gitkeep -delete

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' Makefile

need-go:
	@v=$$(go env GOVERSION 2>/dev/null) && \
	[ "$$(printf '%s\n' $(GO_MIN) "$${v#go}" | sort -V | head -n 1)" = $(GO_MIN) ] || \
	{ echo 'Go $(GO_MIN) or newer is needed: install it from https://go.dev/dl/' >&2; exit 1; }

need-cc:
	@echo '#include <stdlib.h>' | $$(go env CC) -fsyntax-only -x c - 2>/dev/null || \
	{ echo 'A C compiler is needed, for the race detector: apt-get install gcc libc6-dev' >&2; exit 1; }

need-node:
	@[ -n '$(WEB)' ] || { echo 'Node $(NODE_MIN) or newer is needed: install it from https://nodejs.org/' >&2; exit 1; }
