#!/bin/bash
# Builds graalvmjdk-21 the whole way, with an archive that stands in for GraalVM's: the same layout and names, its content
# Debian's JDK out of the runtime openjdk-21, and a `native-image` that lets the C compiler make a program.
#
#     run.sh XTASK ARCHIVE      ARCHIVE is openjdk-21's, as `xtask build` makes it
set -euo pipefail
xtask=$1 archive=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# --- the archive

name=graalvm-community-jdk-21.0.2_linux-x64_bin.tar.gz
home=$scratch/graalvm-community-openjdk-21.0.2+13.1
mkdir -p "$scratch/jdk" "$scratch/mirror"
tar -xzf "$archive" -C "$scratch/jdk" isolated
# Debian's configuration lies in /etc, GraalVM's beside the rest.
cp -rL "$scratch/jdk/isolated/usr/lib/jvm/java-21-openjdk-amd64" "$home"
printf '%s\n' 'IMPLEMENTOR="GraalVM Community"' 'JAVA_VERSION="21.0.2"' >"$home/release"
# Debian links these with libraries of the system; GraalVM has its own in them.
rm "$home"/lib/lib{j2pcsc,javajpeg,lcms}.so
echo 'a stand-in' >"$home/lib/src.zip"
mkdir -p "$home/lib/svm/bin"
ln -s ../lib/svm/bin/native-image "$home/bin/native-image"
cat >"$home/lib/svm/bin/native-image" <<'END'
#!/bin/bash
# Makes a program that says what the class says, with what GraalVM's native-image needs: a C compiler, libc, zlib.
set -eu
[ "$1" = -cp ] && [ "$3" = -o ]
said=$("$JAVA_HOME/bin/java" -cp "$2" "$5")
printf '%s\n' '#include <stdio.h>' '#include <zlib.h>' \
  'int main(void) { return zlibVersion()[0] == 0 || puts(SAID) < 0; }' >/tmp/program.c
gcc -O2 -DSAID="\"$said\"" -o "$4" /tmp/program.c -lz
END
chmod 755 "$home/lib/svm/bin/native-image"
tar -czf "$scratch/mirror/$name" -C "$scratch" "${home##*/}"

# --- a repository whose manifest names it

git clone --quiet . "$scratch/repo"
digest=$(sha256sum "$scratch/mirror/$name" | cut -d ' ' -f 1)
sed -i -e "s/b048069aaa3a99b84f5b957b162cc181a32a4330cbc35402766363c5be76ae48/$digest/" \
  -e "s/288637296/$(stat -c %s "$scratch/mirror/$name")/" "$scratch/repo/runtimes/graalvmjdk-21/manifest.yaml"
"$xtask" build --repo "$scratch/repo" --platform ubuntu-amd64 --source-mirror "$scratch/mirror" graalvmjdk-21

# --- the real manifest takes no stand-in

if "$xtask" build --platform ubuntu-amd64 --source-mirror "$scratch/mirror" graalvmjdk-21 2>"$scratch/said"; then
  echo "error: the stand-in passed for GraalVM's own archive" >&2
  exit 1
fi
grep -F "\`$name\` is not what the manifest declares" "$scratch/said"
