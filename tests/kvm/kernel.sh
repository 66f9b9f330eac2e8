#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# kernel.sh ARCH: a Debian kernel with KVM for ARCH (what follows a dash is another kernel for the same
# architecture), in build/cache/kernel/ARCH: `image`, and in
# `modules` the modules to load, numbered in their order. It comes from the mirror that this machine's
# own apt is configured for, by an apt of its own (lists, cache, status), so that the machine's stays
# untouched. Once there it is never fetched again.
set -eu

# ARCH, Debian suite (-: this machine's), package, image, modules in load order
table='
amd64    -       linux-image-cloud-amd64  vmlinuz  irqbypass kvm kvm-amd
arm64    -       linux-image-cloud-arm64  vmlinuz  -
arm64-new trixie linux-image-cloud-arm64  vmlinuz  -
riscv64  trixie  linux-image-riscv64      vmlinux  kvm
'

arch=$1
cache=$PWD/build/cache/kernel
home=$cache/$arch
# shellcheck disable=SC2046 # a row is words
set -- $(echo "$table" | sed -n "s/^$arch  *//p")
[ $# -ge 4 ] || { echo "kernel.sh: no row for $arch" >&2; exit 2; }
suite=$1 package=$2 image=$3
shift 3

mkdir -p "$cache"
exec 9>"$cache/lock"
if command -v flock >/dev/null 2>&1; then flock 9; fi
[ -e "$home/image" ] && exit 0

die() { echo "kernel.sh: $*" >&2; exit 1; }

# The first of this machine's sources that is neither updates nor security: "URI SUITE".
mirror() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk '$3 == "main" && $1 ~ /\/debian\/?$/ && $2 !~ /-/ { print $1, $2; exit }'
}

# Unpacks the package NAME into $work/root.
fetch() {
    (cd "$work" && rm -f ./*.deb && apt-get -q download "$1" && dpkg -x ./*.deb root) >>"$work/log" 2>&1 ||
        die "cannot fetch $1 (log: $work/log)"
}

work=$cache/$arch.part
rm -rf "$work"
mkdir -p "$work/state/lists/partial" "$work/apt/archives/partial" "$work/root" "$work/new/modules"
: >"$work/status"
key=/usr/share/keyrings/debian-archive-keyring.gpg
from=$(mirror)
[ -n "$from" ] || die "this machine's apt has no Debian mirror"
[ "$suite" = - ] || from="${from% *} $suite"
debian=${arch%%-*}
if [ -e $key ]; then options="arch=$debian signed-by=$key"; else options="arch=$debian"; fi
echo "deb [$options] $from main" >"$work/sources.list"
cat >"$work/apt.conf" <<EOF
APT::Architecture "$debian";
APT::Architectures { "$debian"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "$work/state";
Dir::State::status "$work/status";
Dir::Cache "$work/apt";
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "-";
EOF
export APT_CONFIG="$work/apt.conf"

echo "kernel.sh: fetching $package for $arch" >&2
apt-get -q update >>"$work/log" 2>&1 || die "apt-get update failed (log: $work/log)"
real=$(apt-cache depends "$package" | sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
fetch "${real:-$package}"

cp "$work"/root/boot/"$image"-* "$work/new/image"
number=0
for module; do
    [ "$module" != - ] || continue
    file=$(find "$work/root" -name "$module.ko*" | head -n 1)
    number=$((number + 1))
    out=$work/new/modules/$number-$module.ko
    case $file in
    *.xz) xz -dc "$file" >"$out" ;;
    *.zst) zstd -qdc "$file" >"$out" ;;
    *.ko) cp "$file" "$out" ;;
    *) echo "kernel.sh: $module is not a module of $real; it may be built in" >&2 ;;
    esac
done
echo "${real:-$package}" >"$work/new/name"
rm -rf "$home"
mv "$work/new" "$home"
rm -rf "$work"
