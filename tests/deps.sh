#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# deps.sh GROUP...: makes the tools of these groups available ("all": of every group). Debian's
# packages are installed where we may (root, or sudo without a password); elsewhere this says
# what is missing, and the tests that need it are skipped. With CI=true missing is a failure.
# AXVCPU_NO_INSTALL=1: never install.

# group, what must be there (a command, or a file as a pattern), Debian package
table='
core     gcc                                              gcc
core     /usr/lib/gcc/*/*/libtsan.*                       gcc
core     /usr/include/stdio.h                             libc6-dev
core     valgrind                                         valgrind
run      cc                                               gcc
run      /usr/include/stdio.h                             libc6-dev
bench    gcc                                              gcc
bench    valgrind                                         valgrind
bench    hyperfine                                        hyperfine
vm       gcc                                              gcc
vm       valgrind                                         valgrind
headers  gcc                                              gcc
headers  g++                                              g++
headers  nm                                               binutils
headers  clang                                            clang
headers  ld.lld                                           lld
headers  llvm-nm                                          llvm
headers  /usr/lib/llvm-*/lib/clang/*/lib/*/libclang_rt.*  libclang-rt-dev
headers  musl-gcc                                         musl-tools
headers  aarch64-linux-gnu-gcc                            gcc-aarch64-linux-gnu
headers  /usr/aarch64-linux-gnu/include/stdio.h           libc6-dev-arm64-cross
headers  riscv64-linux-gnu-gcc                            gcc-riscv64-linux-gnu
headers  /usr/riscv64-linux-gnu/include/stdio.h           libc6-dev-riscv64-cross
model    spin                                             spin
model    cc                                               gcc
kvm      gcc                                              gcc
kvm      qemu-system-x86_64                               qemu-system-x86
kvm      busybox                                          busybox-static
kvm      cpio                                             cpio
kvm      zstd                                             zstd
kvm      modprobe                                         kmod
kvm      xz                                               xz-utils
kvm      qemu-system-aarch64                              qemu-system-arm
kvm      aarch64-linux-gnu-gcc                            gcc-aarch64-linux-gnu
kvm      /usr/aarch64-linux-gnu/include/stdio.h           libc6-dev-arm64-cross
kvm      qemu-system-riscv64                              qemu-system-misc
kvm      riscv64-linux-gnu-gcc                            gcc-riscv64-linux-gnu
kvm      /usr/riscv64-linux-gnu/include/stdio.h           libc6-dev-riscv64-cross
arm64    qemu-system-aarch64                              qemu-system-arm
arm64    aarch64-linux-gnu-gcc                            gcc-aarch64-linux-gnu
arm64    aarch64-linux-gnu-objdump                        binutils-aarch64-linux-gnu
riscv    qemu-system-riscv64                              qemu-system-misc
riscv    riscv64-linux-gnu-gcc                            gcc-riscv64-linux-gnu
arm64    clang                                            clang
arm64    /usr/lib/llvm-*/lib/clang/*/lib/*/libclang_rt.*  libclang-rt-dev
riscv    clang                                            clang
riscv    /usr/lib/llvm-*/lib/clang/*/lib/*/libclang_rt.*  libclang-rt-dev
x86      gcc                                              gcc
x86      clang                                            clang
x86      /usr/lib/llvm-*/lib/clang/*/lib/*/libclang_rt.*  libclang-rt-dev
x86      objdump                                          binutils
x86      qemu-system-x86_64                               qemu-system-x86
x86      bochs                                            bochs
x86      /usr/share/bochs/BIOS-bochs-latest               bochsbios
x86      /usr/share/vgabios/vgabios.bin                   vgabios
soak     gcc                                              gcc
mutants  gcc                                              gcc
mutants  qemu-system-aarch64                              qemu-system-arm
mutants  aarch64-linux-gnu-gcc                            gcc-aarch64-linux-gnu
mutants  qemu-system-riscv64                              qemu-system-misc
mutants  riscv64-linux-gnu-gcc                            gcc-riscv64-linux-gnu
mutants  objdump                                          binutils
mutants  qemu-system-x86_64                               qemu-system-x86
mutants  bochs                                            bochs
mutants  /usr/share/bochs/BIOS-bochs-latest               bochsbios
mutants  /usr/share/vgabios/vgabios.bin                   vgabios
mutants  g++                                              g++
mutants  clang                                            clang
mutants  /usr/lib/llvm-*/lib/clang/*/lib/*/libclang_rt.*  libclang-rt-dev
mutants  /usr/riscv64-linux-gnu/include/asm/kvm.h         linux-libc-dev-riscv64-cross
static   clang-tidy                                       clang-tidy
static   cppcheck                                         cppcheck
static   aarch64-linux-gnu-gcc                            gcc-aarch64-linux-gnu
static   /usr/aarch64-linux-gnu/include/stdio.h           libc6-dev-arm64-cross
static   riscv64-linux-gnu-gcc                            gcc-riscv64-linux-gnu
static   /usr/riscv64-linux-gnu/include/stdio.h           libc6-dev-riscv64-cross
hostile  gcc                                              gcc
hostile  qemu-system-aarch64                              qemu-system-arm
hostile  aarch64-linux-gnu-gcc                            gcc-aarch64-linux-gnu
hostile  qemu-system-riscv64                              qemu-system-misc
hostile  riscv64-linux-gnu-gcc                            gcc-riscv64-linux-gnu
hostile  bochs                                            bochs
hostile  /usr/share/bochs/BIOS-bochs-latest               bochsbios
hostile  /usr/share/vgabios/vgabios.bin                   vgabios
fuzz     clang                                            clang
fuzz     gcov                                             gcc
fuzz     /usr/lib/llvm-*/lib/clang/*/lib/*/libclang_rt.*  libclang-rt-dev
fuzz     /usr/aarch64-linux-gnu/include/asm/kvm.h         linux-libc-dev-arm64-cross
fuzz     /usr/riscv64-linux-gnu/include/asm/kvm.h         linux-libc-dev-riscv64-cross
'

PATH=$PATH:/usr/sbin:/sbin # where Debian keeps modprobe

there() { # COMMAND-OR-PATTERN
    case $1 in
    /*) for file in $1; do [ -e "$file" ] && return; done; return 1 ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

wanted() { # GROUP
    case " $groups " in *" all "* | *" $1 "*) return 0 ;; esac
    return 1
}

# Sets missing (what) and packages (which bring it).
look() {
    missing='' packages=''
    while read -r group what package; do
        if [ -z "$group" ] || ! wanted "$group" || there "$what"; then continue; fi
        missing="$missing $what"
        case " $packages " in *" $package "*) ;; *) packages="$packages $package" ;; esac
    done <<EOF
$table
EOF
}

may_install() {
    [ -z "$AXVCPU_NO_INSTALL" ] && command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" = 0 ]; then
        sudo=''
    else
        sudo -n true 2>/dev/null || return 1
        sudo='sudo -n'
    fi
}

apt() {
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 "$@" >>build/logs/deps.log 2>&1
}

install_packages() {
    echo "deps: installing$packages (log: build/logs/deps.log)"
    # shellcheck disable=SC2086 # a list of words
    apt install -y --no-install-recommends $packages && return
    apt update
    # shellcheck disable=SC2086
    apt install -y --no-install-recommends $packages || tail -n 5 build/logs/deps.log
}

groups=$*
mkdir -p build/logs
look
[ -z "$missing" ] && exit 0
if may_install; then
    exec 9>build/logs/deps.lock
    if command -v flock >/dev/null 2>&1; then flock 9; fi # another target may be installing
    look
    [ -z "$missing" ] || install_packages
    look
    [ -z "$missing" ] && exit 0
fi
echo "deps: missing for $groups:$missing" >&2
echo "deps: install with: apt-get install$packages" >&2
[ "$CI" != true ]
