#!/bin/sh
# The tests of the sandbox and of jobs where all controllers are in version 2 of control groups: on a kernel of its own, in
# an emulated machine, as root and as a user to whom a group was delegated. `cargo xtask ci control-groups` runs it.
#
# Debian's kernel for clouds is not installed, only unpacked. The machine's files are in memory, but for /tmp: this kernel
# has no idmapped mounts of tmpfs, which root's jobs need.
set -eu
if [ "$(stat --file-system --format %T /sys/fs/cgroup)" = cgroup2fs ]; then
  echo "this host has control groups of version 2: \`test\` ran these"
  exit 0
fi
if [ "$(dpkg --print-architecture)" != amd64 ]; then
  echo "skipped: control-groups (the emulated machine is an amd64 one)"
  exit 0
fi

kernel=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p')
if [ -z "$kernel" ]; then
  echo "apt knows no package linux-image-cloud-amd64: \`apt-get update\` fetches Debian's lists" >&2
  exit 1
fi
made=$PWD/target/control-groups
mkdir -p "$made"
if [ ! -e "$made/$kernel/boot" ]; then
  (cd "$made" && apt-get download "$kernel" && dpkg-deb --extract "$kernel"_*.deb "$kernel.part")
  rm "$made/$kernel"_*.deb
  mv "$made/$kernel.part" "$made/$kernel"
fi

# Prints the integration tests of the package $1, a program.
tests_of() {
  cargo test --workspace --locked --features xtask/github --no-run --message-format json 2>/dev/null |
    python3 -c '
import json, sys
for line in sys.stdin:
    said = json.loads(line)
    if said.get("executable") and said["target"]["kind"] == ["test"] and f"/{sys.argv[1]}#" in said["package_id"]:
        print(said["executable"])' "$1"
}

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin" "$root/dev" "$root/etc" "$root/lib64" "$root/modules" "$root/proc" "$root/root" "$root/sys" "$root/tmp" \
  "$root/usr/bin"
# Puts the program or file $1 where it is here, with the libraries that it loads.
bring() {
  mkdir -p "$root/$(dirname "$1")"
  cp --dereference "$1" "$root/$1"
  { ldd "$1" 2>/dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root/$(dirname "$library")"
    cp --dereference --update "$library" "$root/$library"
  done
}
cp /bin/busybox "$root/bin/busybox"
for applet in $(/bin/busybox --list); do
  [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
done
bring "$(command -v bwrap)"
bring "$(command -v mke2fs)"
sandbox=$(tests_of rnx-sandbox)
jobs=$(tests_of rnx)
for program in "$sandbox" "$jobs" target/debug/rnx; do
  program=$(realpath "$program")
  bring "$program"
  strip "$root/$program"
done
for folder in rnx rnx-sandbox; do
  mkdir -p "$root/$PWD/crates/$folder"
  cp -R "crates/$folder/tests" "$root/$PWD/crates/$folder/"
done
find "$made/$kernel/lib/modules" \( -name overlay.ko -o -name loop.ko \) -exec cp {} "$root/modules" \;
echo 'root:x:0:0:root:/root:/bin/sh
ordinary:x:61001:61001::/tmp:/bin/sh' >"$root/etc/passwd"
touch "$root/etc/group" "$root/etc/hosts" "$root/etc/resolv.conf"
sed "s|@crates@|$PWD/crates|g; s|@sandbox@|$sandbox|g; s|@jobs@|$jobs|g; s|@mke2fs@|$(command -v mke2fs)|" \
  xtask/src/ci/control_groups_init.sh >"$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet --create --format newc --owner +0:+0 | gzip -1) >"$made/files.gz"

timeout 1200 qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 3072 -nographic -no-reboot \
  -nic none -kernel "$made/$kernel/boot/vmlinuz-${kernel#linux-image-}" -initrd "$made/files.gz" \
  -append "console=ttyS0 quiet panic=-1 cgroup_no_v1=all" </dev/null >"$made/log" 2>&1 || true
if ! grep -q '^all passed' "$made/log"; then
  tail -n 200 "$made/log"
  exit 1
fi
grep -e '^===' -e '^test result' "$made/log"
