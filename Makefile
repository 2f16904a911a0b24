# Makefile -- builds, tests and installs what is needed.
#
#   make            $(BUILD)/modelc and $(BUILD)/mdlrun (missing Debian packages are installed first: make deps)
#   make check      every test but the slow ones       make check-slow  the slow ones too
#   make check-all  check-slow, check-guard, check-edge, check-cuda and examples, one after another
#   make check-guard the tests of kernels, models and quantization with pages round all memory that may not be touched
#   make fuzz-meta  damaged artifacts, read under AddressSanitizer for ten minutes
#   make check-edge artifacts for other processors, under qemu and Node.js (which it installs, with the cross compilers)
#   make check-cuda every kernel of every example compiled for devices by NVRTC (which it installs), and a table (five minutes; a
#                   kernel that has not changed since is not compiled again); E="one two"
#   make gpu        $(BUILD)/gpu: what a machine with an NVIDIA device needs for the next two, brought there as it is (minutes)
#   make check-gpu  the examples on the device that is here beside the processor's results; make bench-gpu: their times on it
#   make bless      rewrite the expectations of tests  make asan       the same tests under ASan and UBSan
#   make demo       from a description to written text
#   make bench      side by side with PyTorch, ONNX Runtime ... (ten minutes); bench-quick: a minute; B="--only GPT-2 --rounds 9"
#   make examples   trains the examples on real data and prints a table (many minutes); E="one two": these alone
#   make install    DESTDIR=, prefix=/usr/local      make deb        $(BUILD)/modelc_VERSION_ARCH.deb
#   make venv       Python with pinned packages, for scripts that make expected values; venv-bench: the rivals too
#   make clean
#
# Variables: CC=gcc|clang  BUILD=folder of everything generated  WERROR=1  SANITIZE=1  T="tests to run".
# Nothing is listed by name: a new source file, std/*.mdl, explain/*.md, *.tile or tests/AREA/NAME.c is found by itself.

CC = gcc
CXX = g++
BUILD = build
T =
NVRTC = build/nvrtc/nvidia/cu13/lib# where check-cuda puts it
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY: # nothing made on the way is removed
.DEFAULT_GOAL := all
Q = $(if $(V),,@)

# ---- what must be installed: a file that proves it, and its package ----------------------------------------------------------

MULTIARCH := $(or $(shell $(CC) -print-multiarch 2>/dev/null),$(shell uname -m)-linux-gnu)
LLVM = /usr/lib/llvm-19
NEEDS = \
    /usr/bin/gcc=gcc \
    /usr/bin/g++=g++ \
    /usr/include/stdio.h=libc6-dev \
    /usr/bin/flex=flex \
    /usr/bin/bison=bison \
    /usr/include/llvm-c-19/llvm-c/Core.h=llvm-19-dev \
    $(LLVM)/lib/liblldELF.a=liblld-19-dev \
    /usr/bin/clang-19=clang-19 \
    $(LLVM)/bin/ld.lld=lld-19 \
    $(LLVM)/bin/llvm-nm=llvm-19 \
    /usr/include/$(MULTIARCH)/openblas-pthread/cblas.h=libopenblas-pthread-dev \
    /usr/include/png.h=libpng-dev \
    /usr/include/jansson.h=libjansson-dev \
    /usr/include/gelf.h=libelf-dev \
    /usr/include/pcre2.h=libpcre2-dev \
    /usr/include/utf8proc.h=libutf8proc-dev \
    /usr/include/openssl/evp.h=libssl-dev \
    /usr/include/zlib.h=zlib1g-dev \
    /usr/include/lzma.h=liblzma-dev \
    /usr/include/zstd.h=libzstd-dev \
    /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz=dataset-fashion-mnist \
    /usr/bin/bible=bible-kjv
NEEDS_CI = /usr/bin/clang=clang /usr/bin/musl-gcc=musl-tools /usr/bin/cmake=cmake /usr/bin/ninja=ninja-build /usr/bin/pkg-config=pkg-config
# Rivals of the bench that are no Python packages.
NEEDS_BENCH = /usr/lib/$(MULTIARCH)/libdnnl.so.2=libdnnl2
NEEDS_EDGE = \
    /usr/bin/qemu-aarch64-static=qemu-user-static \
    /usr/bin/qemu-system-arm=qemu-system-arm \
    /usr/bin/node=nodejs \
    /usr/bin/aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu \
    /usr/aarch64-linux-gnu/include/stdio.h=libc6-dev-arm64-cross \
    /usr/bin/arm-linux-gnueabihf-gcc=gcc-arm-linux-gnueabihf \
    /usr/arm-linux-gnueabihf/include/stdio.h=libc6-dev-armhf-cross \
    /usr/bin/riscv64-linux-gnu-gcc=gcc-riscv64-linux-gnu \
    /usr/riscv64-linux-gnu/include/stdio.h=libc6-dev-riscv64-cross
missing = $(strip $(foreach n,$(1),$(if $(wildcard $(word 1,$(subst =, ,$(n)))),,$(word 2,$(subst =, ,$(n))))))
MISSING := $(call missing,$(NEEDS))
MISSING_BENCH := $(call missing,$(NEEDS_BENCH))
MISSING_CI := $(call missing,$(NEEDS_CI))
MISSING_EDGE := $(call missing,$(NEEDS_EDGE))
MISSING_BROWSER := $(call missing,/usr/bin/chromium=chromium)

define install
	@if [ "$$(id -u)" != 0 ]; then \
	    echo "modelc needs Debian packages that are not installed; as root, run" >&2; \
	    echo "    apt-get install $(1)" >&2; exit 1; \
	fi; \
	echo "installing $(strip $(1))"; \
	export DEBIAN_FRONTEND=noninteractive; \
	log=$$(mktemp); \
	if apt-get install -y -q --no-install-recommends $(1) >$$log 2>&1 </dev/null || \
	   { apt-get update -q >>$$log 2>&1 && apt-get install -y -q --no-install-recommends $(1) >>$$log 2>&1 </dev/null; }; \
	then rm -f $$log; \
	else tail -n 5 $$log >&2; rm -f $$log; \
	    echo "could not install: $(strip $(1)) (is this machine online?)" >&2; exit 1; \
	fi
endef

.PHONY: all install deb deps deps-ci deps-edge deps-browser deps-auto check check-all check-slow check-edge check-guard check-cuda gpu check-gpu bench-gpu fuzz-meta bless asan demo examples bench bench-quick venv \
    venv-bench clean units FORCE
deps: ; $(if $(MISSING),$(call install,$(MISSING)),@:)
deps-ci: deps ; $(if $(MISSING_CI),$(call install,$(MISSING_CI)),@:)
deps-edge: deps ; $(if $(MISSING_EDGE),$(call install,$(MISSING_EDGE)),@:)
deps-auto: ; $(if $(MISSING),$(call install,$(MISSING)),@:)
DEPS = $(if $(MISSING),deps-auto)# the order-only prerequisite of whatever compiles

# ---- flags -------------------------------------------------------------------------------------------------------------------

WARN = -Wall -Wextra -Wshadow -Wmissing-prototypes -Wswitch $(if $(WERROR),-Werror)
SAN = $(if $(SANITIZE),-fsanitize=address -fsanitize=undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
OPT = $(if $(SANITIZE),-O1,-O2) -g
CPPFLAGS = -D_GNU_SOURCE -I. -I$(BUILD) -isystem /usr/include/llvm-c-19 -isystem /usr/include/llvm-19 \
    -isystem /usr/include/$(MULTIARCH)/openblas-pthread
CFLAGS = -std=gnu11 $(OPT) $(SAN) $(WARN) -MMD -MP
CXXFLAGS = -std=c++17 -isystem $(LLVM)/include $(OPT) $(SAN) -Wall -Wextra $(if $(WERROR),-Werror) -fno-rtti -fno-exceptions \
    -MMD -MP
# What flex and bison write is not ours to make pretty.
GENERATED = -Wno-missing-prototypes -Wno-unused-function -Wno-sign-compare -Wno-shadow -Wno-unused-parameter \
    -Wno-unused-but-set-variable -Wno-unused-variable
LIBS = -L$(LLVM)/lib -llldELF -llldWasm -llldCommon -lLLVM-19 -L/usr/lib/$(MULTIARCH)/openblas-pthread -Wl,--as-needed -lopenblas \
    -ljansson -lcrypto -lz -lzstd -llzma -lstdc++ -lpthread -ldl -lm
MDLRUN_LIBS = -Wl,--as-needed -ljansson -lelf -lpng -lz -lcrypto -lpcre2-8 -lutf8proc -lpthread -ldl -lm
# The runtime goes into every artifact, so it is compiled for every target, by one compiler and without a header of any libc: plain
# processor, no contraction (the same bits everywhere), nothing exported. Its core asks nothing of libc. What walks over data is
# compiled for speed, the rest, which is most of it, for size.
RUNTIME_CC = /usr/bin/clang-19
RUNTIME_HOT = core/memory core/routines host/sha256
# -fno-builtin: no compiler makes a memchr of a strchr, and so an import of its own.
RUNTIME_CODE = -fPIC -fomit-frame-pointer -ffunction-sections -fdata-sections -ffp-contract=off -fno-asynchronous-unwind-tables -fno-ident
RUNTIME_CFLAGS = -std=gnu11 -nostdlibinc -ffreestanding -fvisibility=hidden -fno-stack-protector -fno-builtin $(RUNTIME_CODE) \
    $(WARN) -MMD -MP
# Its files are optimized as one: what generated code and compilers call is kept, all else may be inlined and shared.
RUNTIME_KEPT = mem*,__*,$(shell grep -ow 'rt_[a-z0-9_]*' runtime/runtime.h | sort -u | paste -sd,)
# What the runtime is compiled for (codegen/target.c names these): both of its forms, or its core alone; flags.
RUNTIME_HOSTED = x86-64 aarch64 armv7 riscv64
RUNTIME_BARE = thumbv7em wasm32
RUNTIME_TARGETS = $(RUNTIME_HOSTED) $(RUNTIME_BARE)
RUNTIME_FLAGS_x86-64 = --target=x86_64-linux-gnu
RUNTIME_FLAGS_aarch64 = --target=aarch64-linux-gnu -mno-outline-atomics
# -Oz calls functions to shift 64 bits.
RUNTIME_SMALL_armv7 = -Os
RUNTIME_SMALL_thumbv7em = -Os
RUNTIME_FLAGS_armv7 = --target=armv7-linux-gnueabihf -mcpu=cortex-a7 -mfpu=neon-vfpv4
RUNTIME_FLAGS_thumbv7em = --target=thumbv7em-none-eabihf -mcpu=cortex-m4 -fno-pic
RUNTIME_FLAGS_wasm32 = --target=wasm32-unknown-unknown -msimd128 -fno-pic
# The runtime of libraries with code for devices (RT_DEVICES: internal.h), and with runtime/cuda.
RUNTIME_DEVICE = device-x86-64
RUNTIME_FLAGS_device-x86-64 = --target=x86_64-linux-gnu -DRT_DEVICES
RUNTIME_FLAGS_riscv64 = --target=riscv64-linux-gnu

# ---- sources -----------------------------------------------------------------------------------------------------------------

MDLRUN_C := $(sort $(wildcard runtime/mdlrun*.c))
RUNTIME_CORE_C := $(sort $(wildcard runtime/core/*.c))
RUNTIME_HOST_C := $(sort $(wildcard runtime/host/*.c))
RUNTIME_CUDA_C := $(sort $(wildcard runtime/cuda/*.c))
RUNTIME_BARE_C := $(sort $(wildcard runtime/bare/*.c))
LIB_C := $(sort $(wildcard ir/*.c frontend/*.c passes/*.c codegen/*.c codegen/cpu/*.c codegen/cuda/*.c))
LIB_CXX := $(sort $(wildcard codegen/*.cpp))
GRAMMAR := $(basename $(notdir $(wildcard frontend/*.l frontend/*.y)))
STD := $(sort $(wildcard frontend/std/*.mdl))
PAGES := $(sort $(wildcard frontend/explain/*.md))
TILE := $(sort $(wildcard codegen/*.tile codegen/cpu/*.tile))
CUDA := codegen/cuda/prelude.cu

GRAMMAR_O := $(GRAMMAR:%=$(BUILD)/frontend/%.gen.o)
GRAMMAR_H := $(GRAMMAR:%=$(BUILD)/frontend/%.h)
LIB_O := $(LIB_C:%.c=$(BUILD)/%.o) $(LIB_CXX:%.cpp=$(BUILD)/%.o) $(GRAMMAR_O) $(BUILD)/gen/embed.o
RUNTIMES := $(RUNTIME_HOSTED:%=$(BUILD)/runtime-%.o) $(RUNTIME_TARGETS:%=$(BUILD)/runtime-core-%.o) $(BUILD)/runtime-$(RUNTIME_DEVICE).o
RUNTIME_O := $(foreach t,$(RUNTIME_TARGETS) $(RUNTIME_DEVICE),$(patsubst %.c,$(BUILD)/artifact/$(t)/%.bc,$(RUNTIME_CORE_C) $(RUNTIME_HOST_C) $(RUNTIME_CUDA_C) $(RUNTIME_BARE_C)))
# For unit tests: programs that have a memcpy already.
HOSTRT_O := $(patsubst %.c,$(BUILD)/%.o,$(filter-out %/memory.c,$(RUNTIME_CORE_C)) $(RUNTIME_HOST_C) runtime/cuda/unpack.c runtime/cuda/maps.c)
MDLRUN_O := $(MDLRUN_C:%.c=$(BUILD)/%.o)

# C files of tests: those with a main are unit tests; the others of a folder are helpers, linked to each of its unit tests.
# FIXTURES are shared libraries that tests load.
FIXTURES := $(wildcard tests/mdlrun/fake.c)
TEST_C := $(filter-out $(FIXTURES),$(sort $(wildcard tests/*.c tests/*/*.c)))
UNIT_C := $(if $(TEST_C),$(shell grep -l '^int main\b' $(TEST_C)))
HELPER_O := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(UNIT_C),$(TEST_C)))
UNITS := $(UNIT_C:%.c=$(BUILD)/%)
FIXTURE_SO := $(FIXTURES:%.c=$(BUILD)/%.so)

all: $(if $(wildcard modelc.c),$(BUILD)/modelc) $(if $(MDLRUN_C),$(BUILD)/mdlrun) $(BUILD)/libmodelc.a

# ---- compiling ---------------------------------------------------------------------------------------------------------------

$(BUILD)/%.o: %.c | $(DEPS) $(GRAMMAR_H)
	@mkdir -p $(@D)
	@echo "  cc $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/%.o: %.cpp | $(DEPS)
	@mkdir -p $(@D)
	@echo "  c++ $<"
	$(Q)$(CXX) $(CPPFLAGS) $(CXXFLAGS) -c $< -o $@

$(BUILD)/frontend/%.c $(BUILD)/frontend/%.h &: frontend/%.y | $(DEPS)
	@mkdir -p $(@D)
	@echo "  bison $<"
	$(Q)bison -Wall --header=$(BUILD)/frontend/$*.h -o $(BUILD)/frontend/$*.c $<

$(BUILD)/frontend/%.c $(BUILD)/frontend/%.h &: frontend/%.l | $(DEPS)
	@mkdir -p $(@D)
	@echo "  flex $<"
	$(Q)flex --header-file=$(BUILD)/frontend/$*.h -o $(BUILD)/frontend/$*.c $<

$(BUILD)/frontend/%.gen.o: $(BUILD)/frontend/%.c | $(GRAMMAR_H)
	@echo "  cc $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(GENERATED) -c $< -o $@

# One relocatable object for each of the two runtimes of a target, checked: what it imports is listed in codegen/libc.def, or nothing.
define runtime_rules
$(BUILD)/artifact/$(1)/%.bc: %.c | $(DEPS)
	@mkdir -p $$(@D)
	$$(Q)$(RUNTIME_CC) $(RUNTIME_CFLAGS) $(RUNTIME_FLAGS_$(1)) $(or $(RUNTIME_SMALL_$(1)),-Oz) -I. -emit-llvm -c $$< -o $$@
$(RUNTIME_HOT:%=$(BUILD)/artifact/$(1)/runtime/%.bc): $(BUILD)/artifact/$(1)/%.bc: %.c | $(DEPS)
	@mkdir -p $$(@D)
	$$(Q)$(RUNTIME_CC) $(RUNTIME_CFLAGS) $(RUNTIME_FLAGS_$(1)) -O2 -I. -emit-llvm -c $$< -o $$@
$(BUILD)/runtime-$(1).o: $(patsubst %.c,$(BUILD)/artifact/$(1)/%.bc,$(RUNTIME_CORE_C) $(RUNTIME_HOST_C))
$(BUILD)/runtime-core-$(1).o: $(patsubst %.c,$(BUILD)/artifact/$(1)/%.bc,$(RUNTIME_CORE_C) $(RUNTIME_BARE_C))
$(BUILD)/runtime-$(1).o $(BUILD)/runtime-core-$(1).o: FLAGS = $(RUNTIME_CODE) $(RUNTIME_FLAGS_$(1)) $(or $(RUNTIME_SMALL_$(1)),-Oz)
endef
$(foreach t,$(RUNTIME_TARGETS) $(RUNTIME_DEVICE),$(eval $(call runtime_rules,$(t))))
$(BUILD)/runtime-$(RUNTIME_DEVICE).o: $(patsubst %.c,$(BUILD)/artifact/$(RUNTIME_DEVICE)/%.bc,$(RUNTIME_CUDA_C))

$(RUNTIMES): $(BUILD)/gen/runtime.list runtime/imports.sh codegen/libc.def | $(DEPS)
	@echo "  runtime $@"
	$(Q)$(LLVM)/bin/llvm-link -o $(@:.o=.bc) $(filter %.bc,$^)
	$(Q)$(LLVM)/bin/opt -passes=internalize -internalize-public-api-list=$(RUNTIME_KEPT) -o $(@:.o=.bc) $(@:.o=.bc)
	$(Q)$(RUNTIME_CC) $(FLAGS) -c $(@:.o=.bc) -o $@
	$(Q)sh runtime/imports.sh $@ $(if $(findstring -core-,$@),,codegen/libc.def)

# ---- files inside the compiler: ir/embed.h -----------------------------------------------------------------------------------
# A list of names changes when a file comes or goes, and only then; what depends on it is then made anew.

list = $(BUILD)/gen/$(1).list
$(call list,std): LIST = $(STD)
$(call list,pages): LIST = $(PAGES)
$(call list,tile): LIST = $(TILE)
$(call list,runtime): LIST = $(RUNTIME_TARGETS) $(RUNTIME_CORE_C) $(RUNTIME_HOST_C) $(RUNTIME_CUDA_C) $(RUNTIME_BARE_C)
$(call list,lib): LIST = $(LIB_C) $(LIB_CXX) $(GRAMMAR)
$(call list,mdlrun): LIST = $(MDLRUN_C)
$(BUILD)/gen/%.list: FORCE
	@mkdir -p $(@D)
	@echo '$(LIST)' | cmp -s - $@ || echo '$(LIST)' > $@

# embed_table NAME, FILES: the array embedded_NAME of {name, bytes, length} ended by zeros, and the bytes, each with a final 0.
define embed_one
.section .rodata
$(2)_name: .asciz "$(notdir $(3))"
$(2)_text: .incbin "$(3)"
$(2)_end: .byte 0
.section .data.rel.ro,"aw"
.quad $(2)_name, $(2)_text, $(2)_end - $(2)_text

endef
define embed_table
.section .data.rel.ro,"aw"
.balign 8
.globl embedded_$(1)
embedded_$(1):
$(foreach f,$(2),$(call embed_one,$(1),$(1)_$(subst .,_,$(subst -,_,$(notdir $(f)))),$(f)))
.quad 0, 0, 0
endef

$(BUILD)/gen/embed.S: Makefile $(call list,std) $(call list,pages) $(call list,tile) $(RUNTIMES) $(STD) $(PAGES) $(TILE) $(CUDA) runtime/mdl.h
	$(file >$@,$(call embed_table,std,$(STD)))
	$(file >>$@,$(call embed_table,pages,$(PAGES)))
	$(file >>$@,$(call embed_table,tile,$(TILE)))
	$(file >>$@,$(call embed_table,cuda,$(CUDA)))
	$(file >>$@,$(call embed_table,runtime,$(RUNTIMES)))
	$(file >>$@,$(call embed_table,header,runtime/mdl.h))
	$(file >>$@,.section .note.GNU-stack,"")
	@:

$(BUILD)/gen/embed.o: $(BUILD)/gen/embed.S | $(DEPS)
	$(Q)$(CC) -c $< -o $@

# ---- linking -----------------------------------------------------------------------------------------------------------------

$(BUILD)/libmodelc.a: $(LIB_O) $(call list,lib)
	@echo "  ar $@"
	$(Q)rm -f $@; ar rcsD $@ $(LIB_O)

$(BUILD)/libruntime.a: $(HOSTRT_O) $(call list,runtime)
	$(Q)rm -f $@; ar rcsD $@ $(HOSTRT_O)

# mdlrun's parts as an archive: `modelc run` takes what it needs of them.
$(BUILD)/libmdlrun.a: $(MDLRUN_O) $(call list,mdlrun)
	$(Q)rm -f $@; ar rcsD $@ $(filter-out %/mdlrun.o,$(MDLRUN_O))

$(BUILD)/modelc: $(BUILD)/modelc.o $(BUILD)/libmodelc.a $(BUILD)/libmdlrun.a
	@echo "  link $@"
	$(Q)$(CC) $(SAN) -o $@ $^ $(LIBS) $(MDLRUN_LIBS)

$(BUILD)/mdlrun: $(BUILD)/runtime/mdlrun.o $(BUILD)/libmdlrun.a
	@echo "  link $@"
	$(Q)$(CC) $(SAN) -o $@ $^ $(MDLRUN_LIBS)

$(UNITS): $(BUILD)/%: $(BUILD)/%.o $(HELPER_O) $(BUILD)/libmodelc.a $(BUILD)/libmdlrun.a $(BUILD)/libruntime.a
	@echo "  link $@"
	$(Q)$(CC) $(SAN) -o $@ $< $(filter $(@D)/%,$(HELPER_O)) $(filter %.a,$^) $(LIBS) $(MDLRUN_LIBS)

# A fixture stands in for an artifact: with a description in its section .mdl.meta.
$(FIXTURE_SO): $(BUILD)/%.so: %.c %.json tests/mdlrun/seal.sh | $(DEPS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -std=gnu11 -O1 -g $(WARN) -MMD -MP -shared -fPIC -o $@ $< -lm
	$(Q)sh tests/mdlrun/seal.sh $@ $*.json

# ---- tests -------------------------------------------------------------------------------------------------------------------

units: $(UNITS) $(FIXTURE_SO) ; @:
check: all units
	$(Q)BUILD=$(BUILD) tests/run.sh $(T)
# All that make check leaves out, in under an hour: slow tests, guard pages, other targets, devices, examples. What fails is named at the end.
PARTS = check-slow check-guard check-edge check-cuda examples
check-all: all units
	$(Q)failed=; for part in $(if $(T),check-slow,$(PARTS)); do \
	    echo "==== $$part"; $(MAKE) --no-print-directory $$part || failed="$$failed $$part"; done; \
	    [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }
check-slow: all units
	$(Q)BUILD=$(BUILD) SLOW=1 tests/run.sh $(T)
# Buffers end at a page without access, then begin behind one: tests/schedule/guard.h for kernels, guard.so for sessions and mdlrun.
GUARDED = tests/schedule tests/models tests/quantize
$(BUILD)/guard.so: tests/runtime/guard.c.txt | $(DEPS)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O1 -g $(WARN) -Wno-missing-prototypes -shared -fPIC -o $@ -x c $<
check-guard: all units $(BUILD)/guard.so
	$(Q)for g in end start; do echo "GUARD=$$g"; \
	    BUILD=$(BUILD) SLOW=1 GUARD=$$g LD_PRELOAD=$(abspath $(BUILD)/guard.so) tests/run.sh $(or $(T),$(GUARDED)) || exit 1; done
# A browser is welcome, and no condition: without one its test is skipped, and the page is tested in Node.js alone.
deps-browser: deps-edge
	$(Q)$(if $(MISSING_BROWSER),[ "$$(id -u)" = 0 ] && echo "installing $(MISSING_BROWSER)" && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(MISSING_BROWSER) >/dev/null 2>&1 </dev/null || \
	    echo "could not install $(MISSING_BROWSER)",:)
check-edge: all deps-edge deps-browser
	$(Q)BUILD=$(BUILD) EDGE=1 TEST_TIMEOUT=550 tests/run.sh tests/edge
check-cuda: all $(NVRTC)
	$(Q)BUILD=$(BUILD) python3 tests/cuda/examples.py $(NVRTC) build/nvrtc-cache $(E)
$(NVRTC): tests/cuda/requirements.txt
	$(Q)python3 -c 'import ensurepip, venv' 2>/dev/null || \
	    { [ "$$(id -u)" = 0 ] && apt-get install -y -q python3-venv; } || \
	    { echo "NVRTC comes by pip; as root, run: apt-get install python3-venv" >&2; exit 1; }
	$(Q)rm -rf build/nvrtc && python3 -m venv build/nvrtc/venv
	$(Q)build/nvrtc/venv/bin/pip install -q --disable-pip-version-check --no-deps --target build/nvrtc -r $<
	@touch $@
gpu: all $(NVRTC)
	$(Q)ROOT=$(CURDIR) PATH=$(abspath $(BUILD)):$$PATH sh tests/cuda/gpu/kit.sh $(BUILD)/gpu $(abspath $(NVRTC)) $(E)
check-gpu: gpu
	$(Q)sh $(BUILD)/gpu/check.sh $(D)
bench-gpu: gpu
	$(Q)sh $(BUILD)/gpu/bench.sh $(D)
# Damaged artifacts of three forms, described by an mdlrun with AddressSanitizer for ten minutes (FUZZ_SECONDS), by another seed each time.
FUZZ_SECONDS = 600
FUZZ = $(BUILD)/fuzz-meta
fuzz-meta: all
	$(Q)$(MAKE) --no-print-directory BUILD=build-asan SANITIZE=1 build-asan/mdlrun
	$(Q)rm -rf $(FUZZ) && mkdir $(FUZZ) && cd $(FUZZ) && \
	    for t in native armv7-linux-gnueabihf wasm32; do $(CURDIR)/$(BUILD)/modelc $(CURDIR)/examples/mlp.mdl --target=$$t --entries=predict --name=mlp \
	        -o $$t$$([ $$t = wasm32 ] && echo .wasm || echo .so) || exit; done && seed=$$(date +%s) && echo "seed $$seed" && \
	    PATH=$(CURDIR)/build-asan:$$PATH ASAN_OPTIONS=exitcode=99 perl $(CURDIR)/tests/mdlrun/fuzz_meta.pl $$seed $(FUZZ_SECONDS)s *.so *.wasm
bless: all units
	$(Q)BUILD=$(BUILD) BLESS=1 tests/run.sh $(T)
asan:
	$(Q)$(MAKE) --no-print-directory BUILD=build-asan SANITIZE=1 all units
	$(Q)BUILD=build-asan TEST_TIMEOUT=$${TEST_TIMEOUT:-400} tests/run.sh $(T)
examples: all
	$(Q)BUILD=$(BUILD) sh examples/table.sh $(E)
demo: all
	$(Q)BUILD=$(BUILD) sh examples/demo.sh

# ---- installing --------------------------------------------------------------------------------------------------------------

prefix = /usr/local
DESTDIR =
VERSION = $(shell sed -n 's/^.define MODELC_VERSION "\(.*\)"/\1/p' codegen/artifact.h)
install: all
	$(Q)install -d $(DESTDIR)$(prefix)/bin $(DESTDIR)$(prefix)/include $(DESTDIR)$(prefix)/lib/pkgconfig \
	    $(DESTDIR)$(prefix)/lib/cmake/modelc $(DESTDIR)$(prefix)/share/doc/modelc
	$(Q)install -s -m 755 $(BUILD)/modelc $(BUILD)/mdlrun $(DESTDIR)$(prefix)/bin
	$(Q)install -m 644 runtime/mdl.h $(DESTDIR)$(prefix)/include
	$(Q)sed 's|@prefix@|$(prefix)|; s|@version@|$(VERSION)|' runtime/install/modelc.pc.in > $(DESTDIR)$(prefix)/lib/pkgconfig/modelc.pc
	$(Q)install -m 644 runtime/install/modelcConfig.cmake $(DESTDIR)$(prefix)/lib/cmake/modelc
	$(Q)install -m 644 README.md LICENSE frontend/LANGUAGE.md frontend/INTRINSICS.md $(DESTDIR)$(prefix)/share/doc/modelc

# A package for this Debian: what its two programs are linked with is what it depends on.
deb: all
	$(Q)rm -rf $(BUILD)/deb
	$(Q)$(MAKE) --no-print-directory -o all install DESTDIR=$(BUILD)/deb prefix=/usr
	$(Q)sh runtime/install/control.sh $(BUILD)/deb $(VERSION)
	$(Q)dpkg-deb --root-owner-group -Zgzip --build $(BUILD)/deb $(BUILD) > $(BUILD)/deb.log || { cat $(BUILD)/deb.log; exit 1; }
	@echo "  deb $(BUILD)/modelc_$(VERSION)_$$(dpkg --print-architecture).deb"

# ---- Python: only for benches and for the scripts that make expected values --------------------------------------------------

venv: build/venv/stamp
build/venv/stamp: tests/requirements.txt
	$(Q)python3 -c 'import ensurepip, venv' 2>/dev/null || \
	    { [ "$$(id -u)" = 0 ] && apt-get install -y -q python3-venv; } || \
	    { echo "modelc's benches need Python; as root, run: apt-get install python3-venv" >&2; exit 1; }
	$(Q)python3 -m venv build/venv
	$(Q)build/venv/bin/pip install -q --disable-pip-version-check -r tests/requirements.txt
	@touch $@

# A rival that cannot be installed is left out, and said. llama.cpp comes as source: for this processor, with threads of its own.
LLAMA = -DGGML_NATIVE=ON -DGGML_OPENMP=OFF -DLLAVA_BUILD=OFF -DLLAMA_CURL=OFF
venv-bench: build/venv/bench
build/venv/bench: tests/bench/requirements.txt build/venv/stamp
	$(Q)for p in $(MISSING_BENCH); do \
	    [ "$$(id -u)" = 0 ] && apt-get install -y -q --no-install-recommends $$p >/dev/null 2>&1 </dev/null || echo "could not install $$p" >&2; done
	$(Q)export CMAKE_ARGS="$(LLAMA)"; for p in $$(sed 's/#.*//' $<); do \
	    case $$p in llama*) echo "$$p is compiled where it is not installed yet: ten minutes or more";; esac; \
	    build/venv/bin/pip install -q --disable-pip-version-check $$p || echo "could not install $$p" >&2; done
	@touch $@

bench: all venv-bench
	$(Q)BUILD=$(BUILD) build/venv/bin/python tests/bench/products.py
	$(Q)BUILD=$(BUILD) build/venv/bin/python tests/bench/run.py $(B)
bench-quick: all venv-bench
	$(Q)BUILD=$(BUILD) build/venv/bin/python tests/bench/products.py --shapes 40
	$(Q)BUILD=$(BUILD) build/venv/bin/python tests/bench/run.py --quick $(B)

clean:
	rm -rf build build-asan build-clang

-include $(LIB_O:.o=.d) $(RUNTIME_O:.bc=.d) $(HOSTRT_O:.o=.d) $(MDLRUN_O:.o=.d) $(BUILD)/modelc.d $(UNITS:=.d) \
    $(HELPER_O:.o=.d) $(FIXTURE_SO:.so=.d)
