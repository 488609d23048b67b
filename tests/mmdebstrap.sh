#!/usr/bin/env bash
# usage: mmdebstrap.sh VAULT LOCK FOLDER: makes FOLDER/tree with mmdebstrap from exactly the image
# packages of LOCK, which lie in VAULT. Needs root, for mmdebstrap and the host's binfmt registration.
# With "prepare" as a fourth word it only makes the local archive, with "run" only the tree.
set -euo pipefail
vault=$1 lock=$2 folder=$3 what=${4:-all}
if [ "$what" != run ]; then
  mkdir -p "$folder/debs"
  awk '/^\[\[/ { on = ($0 == "[[image]]") } on && /^name = / { gsub(/"/, "", $3); print $3 }' "$lock" | paste -sd, >"$folder/names"
  awk '/^\[\[/ { on = ($0 == "[[image]]") } on && /^sha256 = / { gsub(/"/, "", $3); print $3 }' "$lock" |
    while read -r sum; do ln -f "$vault/${sum:0:2}/$sum.deb" "$folder/debs/$sum.deb" 2>/dev/null || cp "$vault/${sum:0:2}/$sum.deb" "$folder/debs/"; done
  (cd "$folder/debs" && apt-ftparchive packages . >Packages && apt-ftparchive -o APT::FTPArchive::Release::Suite=trixie \
    -o APT::FTPArchive::Release::Codename=trixie release . >../Release && mv ../Release .)
  grep -q binfmt_misc /proc/mounts || mount -t binfmt_misc binfmt /proc/sys/fs/binfmt_misc
  [ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register
fi
if [ "$what" != prepare ]; then
  QEMU_CPU=cortex-a76 mmdebstrap --quiet --mode=root --architectures=arm64 --variant=essential \
    --include="$(cat "$folder/names")" --aptopt='APT::Install-Recommends "false"' \
    trixie "$folder/tree" "deb [trusted=yes] copy://$folder/debs ./"
fi
