# Wafer's commands. `make run` and `make test` need nothing prepared: they install what Debian package they lack.
SWIFT ?= swift
PYTHON ?= /usr/bin/python3
SOURCES := Package.swift $(shell find Sources -type f)
# Tools that the lab runs, and the Debian packages they are in.
PACKAGES := qemu-system-x86 qemu-utils kmod zstd cpio e2fsprogs python3-pytest dpkg
# The libraries that the binary is linked with.
PACKAGES += libsodium-dev libncurses-dev libmbedtls-dev zlib1g-dev
# The boot medium: its loader, firmware for guests and for simulated servers, and what packs it.
PACKAGES += grub-common grub-pc-bin grub-efi-amd64-bin seabios ovmf ipxe-qemu ncurses-base xz-utils squashfs-tools
# Tools that unit tests check us against; without them those tests say that they skip.
PACKAGES += acpica-tools dmidecode dosfstools mtools fdisk chrony dnsmasq-base openssl gvncviewer vncsnapshot libnet-vnc-perl python3-pil

.PHONY: deps build wafer wafer-image kernel lab-up lab-down run smoke test test-swift test-lab bench hotpaths fuzz image format lint clean

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
	$(call build-static,wafer)
	@if readelf -d build/wafer.new | grep NEEDED; then echo "build/wafer is not static" >&2; exit 1; fi
	mv build/wafer.new build/wafer

# What builds the boot medium; made like the appliance, so that both share what they have in common.
wafer-image: build/wafer-image
build/wafer-image: $(SOURCES)
	$(call build-static,wafer-image)
	mv build/wafer-image.new build/wafer-image

define build-static
	$(SWIFT) build -c release --product $(1) --scratch-path .build/static --static-swift-stdlib \
	  -Xswiftc -static-executable -Xlinker --gc-sections
	@mkdir -p build
	strip -o build/$(1).new .build/static/release/$(1)
endef

lab-up: deps wafer
	$(PYTHON) -m Lab up

lab-down:
	$(PYTHON) -m Lab down

run: deps image
	$(PYTHON) -m Lab run

smoke: deps image
	$(PYTHON) -m Lab smoke

test: deps lint test-swift test-lab

test-swift:
	$(SWIFT) test

# Tests on a simulated server that take less than a minute or two. All of them: pytest Lab
test-lab: wafer
	$(PYTHON) -m pytest -q -m "not slow" Lab

# Our monitor beside Debian's QEMU on one simulated server; `make bench QUICK=1` is one short round, PARTS="boot exits" only those.
bench: deps image hotpaths
	$(PYTHON) -m Benchmarks $(if $(QUICK),--quick) $(PARTS)

# Everything, with the tests that take minutes: an unmodified Debian guest under load, hot-plug, hard stops, all processors.
test-system: deps wafer image
	$(PYTHON) -m pytest -q Lab

# Fails if a path that a running guest uses all the time allocates or counts references.
hotpaths:
	$(SWIFT) build -c release --product hotpaths
	.build/release/hotpaths

# Every fuzz target for a minute, or for SECONDS; crashes and logs go to build/fuzz.
SECONDS ?= 60
fuzz: deps
	Fuzz/run -s $(SECONDS)

# The boot medium, build/wafer.img, held against the 32 MB; the table of sizes is build/size.tsv. `make image QUICK=1` packs it in a moment,
# for development: the same layout, larger.
IMAGE_INPUTS := build/wafer build/wafer-image $(shell find Image -type f)
BUILD_ID ?= $(shell git describe --always --dirty 2>/dev/null || echo unknown)
image: deps wafer wafer-image kernel build/keys/development build/image/inputs
	@# The table and the image are one result: a failed build leaves neither newer.
	@if [ -n "$$(find $(IMAGE_INPUTS) build/image/inputs -newer build/wafer.img 2>/dev/null)" ] || [ ! -f build/wafer.img ]; then \
	  build/wafer-image build --kernel build/lab/kernel/tree --modules Image/modules --wafer build/wafer --files Image/root \
	    --loader Image/grub.cfg --key build/keys/development --build '$(BUILD_ID)' --output build/wafer.img --work build/image \
	    --sizes build/size.tsv $(if $(QUICK),--quick) && \
	  build/wafer-image update --vmlinuz build/image/vmlinuz --initrd build/image/initrd --version "$$(build/wafer --version | cut -d' ' -f2)" \
	    --build '$(BUILD_ID)' --key build/keys/development --output build/wafer-update.bin; \
	else cat build/size.tsv; fi

# What else an image depends on: a change of it makes it anew.
build/image/inputs: FORCE
	@mkdir -p build/image
	@echo '$(BUILD_ID) $(QUICK)' | cmp -s - $@ || echo '$(BUILD_ID) $(QUICK)' >$@

# Signs what this clone builds, and is what its images trust. Never part of the repository.
build/keys/development: | build/wafer-image
	@mkdir -p build/keys
	build/wafer-image keygen $@

kernel: deps
	@$(PYTHON) -m Lab kernel

.PHONY: FORCE
FORCE:

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
