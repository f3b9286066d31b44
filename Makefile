# Wafer's commands. `make run` and `make test` need nothing prepared: they install what Debian package they lack.
SWIFT ?= swift
PYTHON ?= /usr/bin/python3
SOURCES := Package.swift $(shell find Sources -type f)
# Tools that the lab runs, and the Debian packages they are in.
PACKAGES := qemu-system-x86 qemu-utils kmod zstd cpio e2fsprogs python3-pytest dpkg
# Libraries that the binary is linked with.
PACKAGES += libsodium-dev libncurses-dev
# Tools that unit tests check us against; without them those tests say that they skip.
PACKAGES += acpica-tools dmidecode dnsmasq-base

.PHONY: deps build wafer lab-up lab-down run smoke test test-swift test-lab bench hotpaths fuzz image format lint clean

# For the guests' and the bench host's images.
deps: PACKAGES += mmdebstrap debian-archive-keyring gpg openssh-client
deps:
	@missing=$$(for package in $(PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || echo $$package; done); \
	if [ -n "$$missing" ]; then \
	  echo "installing from Debian:" $$missing; \
	  if [ $$(id -u) = 0 ]; then as=; else as=sudo; fi; \
	  $$as apt-get update -q && DEBIAN_FRONTEND=noninteractive $$as apt-get install -q -y --no-install-recommends $$missing; \
	fi

build:
	$(SWIFT) build

# The appliance's binary: one fully static executable that needs no file beside it.
wafer: build/wafer
build/wafer: $(SOURCES)
	$(SWIFT) build -c release --product wafer --scratch-path .build/static --static-swift-stdlib \
	  -Xswiftc -static-executable -Xlinker --gc-sections
	@mkdir -p build
	strip -o build/wafer.new .build/static/release/wafer
	@if readelf -d build/wafer.new | grep NEEDED; then echo "build/wafer is not static" >&2; exit 1; fi
	mv build/wafer.new build/wafer

lab-up: deps wafer
	$(PYTHON) -m Lab up

lab-down:
	$(PYTHON) -m Lab down

run: deps wafer
	$(PYTHON) -m Lab run

smoke: deps wafer
	$(PYTHON) -m Lab smoke

test: deps lint test-swift test-lab

test-swift:
	$(SWIFT) test

# Tests on a simulated server that take less than a minute or two. All of them: pytest Lab
test-lab: wafer
	$(PYTHON) -m pytest -q -m "not slow" Lab

# Our monitor beside Debian's QEMU on one simulated server; `make bench QUICK=1` is one short round, PARTS="boot exits" only those.
bench: deps wafer hotpaths
	$(PYTHON) -m Benchmarks $(if $(QUICK),--quick) $(PARTS)

# Everything, with the tests that take minutes: an unmodified Debian guest under load, hot-plug, hard stops, all processors.
test-system: deps wafer
	$(PYTHON) -m pytest -q Lab

# Fails if a path that a running guest uses all the time allocates or counts references.
hotpaths:
	$(SWIFT) build -c release --product hotpaths
	.build/release/hotpaths

# Every fuzz target for a minute, or for SECONDS; crashes and logs go to build/fuzz.
SECONDS ?= 60
fuzz: deps
	Fuzz/run -s $(SECONDS)

# Kernel, modules and our binary as a server boots them, held against the 32 MB. Not yet a medium that boots by itself.
image: deps wafer
	$(PYTHON) -m Lab.image

format:
	$(SWIFT) format --in-place --recursive Sources Tests Benchmarks Fuzz Package.swift

lint:
	$(SWIFT) format lint --strict --recursive Sources Tests Benchmarks Fuzz Package.swift

# The Debian guest, the minimal guest and the disk that brings them to a lab host; QEMU and fio for the bench host.
.PHONY: guest-image bench-image
guest-image: deps
	$(PYTHON) -m Lab.images data

bench-image: deps
	$(PYTHON) -m Lab.images bench

clean:
	rm -rf build .build
