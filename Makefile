# Targets of keepcast; "make help" lists them.
SHELL := /bin/bash
GO ?= go
# PACKAGE_VERSION, if set, is the version in place of that of git.
VERSION := $(or $(PACKAGE_VERSION),$(shell packaging/version 2>/dev/null || echo devel))
GOLANGCI := $(shell $(GO) env GOPATH)/bin/golangci-lint
GOLANGCI_VERSION := v2.15.0
# What the tests, the lab and the demo need of this Debian or Ubuntu.
PACKAGES := bird2 frr groff-base prometheus openbgpd gobgpd unbound nginx-light haproxy iproute2 procps dbus gcc libc6-dev redis-server postgresql mariadb-server postfix dovecot-imapd dovecot-lmtpd krb5-kdc krb5-admin-server freeradius slapd samba samba-ad-provision samba-dsdb-modules samba-vfs-modules winbind charon-systemd strongswan-swanctl libstrongswan-standard-plugins openvpn wireguard-go wireguard-tools chrony kea-dhcp4-server rsyslog rsyslog-gnutls tftpd-hpa snmpd etcd-server knot bind9 nsd pdns-server pdns-backend-bind dnsdist dns-root-data busybox
export CGO_ENABLED ?= 0

.DEFAULT_GOAL := build

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | column -ts $$'\t'

.PHONY: build
build: ## build dist/keepcast
	$(GO) build -trimpath -ldflags '-s -w -X main.release=$(VERSION)' -o dist/keepcast ./cmd/keepcast

.PHONY: deps
deps: ## install what tests, lab and demo need (apt, root)
	@packaging/install-deps $(PACKAGES)

.PHONY: test
test: deps ## set up and pass all tests, the lab included (root)
	CGO_ENABLED=1 KEEPCAST_REAL=1 $(GO) test -race -timeout 40m ./...

# How long each benchmark runs; 1x: once, to see that all of them work.
BENCHTIME ?= 250ms

.PHONY: bench
bench: ## run all benchmarks, in about two minutes (root, for the way into the kernel)
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) ./...

.PHONY: demo
demo: deps build ## show it: two hosts, a router, a client; kill, revive, drain, resume (root)
	$(GO) run ./cmd/keepcast/internal/lab/demo -keepcast dist/keepcast

.PHONY: lab-root
LAB_ROOT ?= /var/tmp/keepcast-lab-root
lab-root: ## make a Debian 13 root for KEEPCAST_LAB_ROOT (root)
	@packaging/install-deps mmdebstrap
	$(GO) run ./cmd/keepcast/internal/lab/root $(LAB_ROOT)

# BIRD of that root without a chroot: its tests make namespaces and files of their own.
.PHONY: test-root
test-root: deps lab-root ## the tests of daemons and lab again, with the daemons of Debian 13 (root)
	@mkdir -p dist
	@printf '#!/bin/sh\nexec %s --library-path %s %s "$$@"\n' $(LAB_ROOT)/lib64/ld-linux-*.so.2 \
	  $(LAB_ROOT)/usr/lib/$$(uname -m)-linux-gnu $(LAB_ROOT)/usr/sbin/bird >dist/bird-of-root && chmod +x dist/bird-of-root
	CGO_ENABLED=1 KEEPCAST_REAL=1 KEEPCAST_BIRD=$(CURDIR)/dist/bird-of-root KEEPCAST_FRR_ROOT=$(LAB_ROOT) $(GO) test -timeout 20m ./driver/bird/... ./driver/frr/...
	CGO_ENABLED=1 KEEPCAST_REAL=1 KEEPCAST_LAB_ROOT=$(LAB_ROOT) $(GO) test -timeout 30m ./cmd/keepcast/internal/lab

.PHONY: lint
lint: $(GOLANGCI) ## check the house rules
	$(GOLANGCI) run ./...
	$(GO) mod tidy -diff

$(GOLANGCI):
	$(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

.PHONY: docs
docs: ## write the generated reference pages, and what the how-tos show, anew
	$(GO) test ./cmd/keepcast -run 'TestReference|TestShown' -update

.PHONY: fuzz
fuzz: ## fuzz every parser for 20 s each
	@set -e; for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 20s -fuzzminimizetime 2s $$p; done; done

# What decides has to be tested harder than the rest. -conditions makes the mutants of
# gremlins, too; CONDITIONS="-gremlins PROGRAM" has gremlins itself make them, which
# takes longer and finds less. The property test has one seed, for a mutant is not to
# live or die by chance. The tests of the commands wait more than they compute, so more
# of them run at once. MUTATE_FLAGS, such as "-sample 50", go to each run. What is wrong
# is printed last, where it is seen.
MUTATE = RAPID_SEED=1 $(GO) run ./cmd/keepcast/internal/mutate -survivors cmd/keepcast/internal/mutate/survivors -covered -timeout-factor 3 $(MUTATE_FLAGS)
CONDITIONS ?= -conditions

.PHONY: mutate
mutate: ## break what decides in many small ways, and see that its tests notice
	@failed=0; in=./cmd/keepcast/internal; why=$$(mktemp); \
	$(MUTATE) $(CONDITIONS) -min 90 $$in/engine $$in/reconcile 2>>$$why || failed=1; \
	$(MUTATE) $(CONDITIONS) -min 80 $$in/config $$in/control 2>>$$why || failed=1; \
	$(MUTATE) $(CONDITIONS) -min 80 -parallel 6 ./cmd/keepcast 2>>$$why || failed=1; \
	cat $$why >&2; rm $$why; exit $$failed

# Two builds of one commit give the same packages, byte for byte: everything is
# dated by the commit, the binary knows no path, and every file has its mode.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
NFPM := $(GO) tool -modfile=tools.mod nfpm
STAGE := dist/stage
# Where the packages go.
PACKAGE_DIR ?= dist
# By the names of nfpm; GOARCH and GOARM follow from them.
ARCHITECTURES ?= amd64 arm64 arm7 riscv64
PACKAGERS ?= deb rpm apk archlinux

.PHONY: package
package: ## build deb, rpm, apk and archlinux packages for every architecture
	@packaging/install-deps groff-base
	@mkdir -p $(PACKAGE_DIR)
	@set -e; for arch in $(ARCHITECTURES); do \
	  echo "building for $$arch"; \
	  GOOS=linux GOARCH=$${arch%7} GOARM=$$([ $$arch != arm7 ] || echo 7) $(GO) build $(REBUILD) -trimpath -buildvcs=false \
	    -ldflags '-s -w -X main.release=$(VERSION)' -o $(STAGE)/$$arch/keepcast ./cmd/keepcast; done
	@$(GO) build -trimpath -buildvcs=false -ldflags '-s -w -X main.release=$(VERSION)' -o $(STAGE)/keepcast ./cmd/keepcast
	@packaging/stage $(STAGE)/keepcast $(STAGE)
	@set -e; for arch in $(ARCHITECTURES); do for packager in $(PACKAGERS); do \
	  STAGE=$(STAGE) ARCH=$$arch VERSION=$${PACKAGE_VERSION:-$$(packaging/version $$packager)} $(NFPM) package -p $$packager -t $(PACKAGE_DIR)/; done; done

.PHONY: release
release: ## build everything into dist: packages, archives, SBOMs, checksums
	@rm -rf dist && mkdir -p dist
	@$(MAKE) --no-print-directory package PACKAGE_DIR=dist
	@set -e; for arch in $(ARCHITECTURES); do packaging/archive $$arch; done
	@cd dist && sha256sum -- *.* >SHA256SUMS && sha256sum --check --quiet SHA256SUMS && wc -l SHA256SUMS

.PHONY: package-reproducible
package-reproducible: ## build the packages of one architecture twice, the second time elsewhere, and compare them
	@rm -rf dist/one dist/two dist/clone
	@$(MAKE) --no-print-directory package ARCHITECTURES=amd64 PACKAGE_DIR=dist/one STAGE=dist/one/stage >/dev/null
	@umask 077 && git clone -q . dist/clone && \
	  $(MAKE) --no-print-directory -C dist/clone package REBUILD=-a ARCHITECTURES=amd64 PACKAGE_DIR=$(CURDIR)/dist/two >/dev/null
	@cd dist/one && sha256sum *.deb *.rpm *.apk *.zst | (cd ../two && sha256sum --check)

.PHONY: vm-test
vm-test: ## test install, upgrade, restart, crash, stop and removal on machines with systemd (root)
	@rm -rf dist/vm
	@PACKAGE_VERSION=0.0.0 $(MAKE) --no-print-directory package ARCHITECTURES=amd64 PACKAGE_DIR=dist/vm/old STAGE=dist/vm/old/stage >/dev/null
	@$(MAKE) --no-print-directory package ARCHITECTURES=amd64 PACKAGE_DIR=dist/vm/new STAGE=dist/vm/new/stage >/dev/null
	packaging/vm/test/all dist/vm

.PHONY: package-lint
package-lint: ## check packages, scripts, unit, alert rules and role, after "make package" (root)
	@packaging/install-deps lintian rpmlint rpm shellcheck prometheus systemd ansible-lint
	lintian --allow-root --fail-on warning --tag-display-limit 0 $(PACKAGE_DIR)/keepcast_*_amd64.deb
	rpmlint -c packaging/rpmlint.toml $(PACKAGE_DIR)/keepcast-*.x86_64.rpm
	shellcheck -x $$(grep -rlE --exclude='*.tmpl' '^#!/(usr/)?bin/(env )?(ba)?sh|^#!/usr/bin/env bash' packaging .ci)
	shellcheck -s sh -e SC2034 packaging/openrc/keepcast
	systemd-analyze security --offline=true --threshold=15 packaging/systemd/keepcast.service | tail -n 1
	promtool check rules packaging/prometheus/alerts.yaml
	promtool test rules packaging/prometheus/alerts_test.yaml
	cd packaging/ansible && ansible-lint --offline --profile production

.PHONY: clean
clean: ## remove what was built
	rm -rf dist
