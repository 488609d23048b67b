#!/usr/bin/env bash
# usage: apt-judge.sh SETS: for each line of packages prints "SET" and the packages that apt installs
# into an empty arm64 system, from the sources of recipes/kvm.toml, without recommended packages.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{etc/apt/preferences.d,etc/apt/apt.conf.d,etc/apt/trusted.gpg.d,state/lists/partial,cache/archives/partial}
: >"$work/status"
cp "$root"/overlays/debian-trixie/keys/*.asc "$work/etc/apt/trusted.gpg.d/"
# shellcheck disable=SC2016  # for apt to expand
mirror() { apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | sed 's,/$,,' | grep -E "/$1\$" | head -1; }
debian=$(mirror debian) security=$(mirror debian-security)
: "${debian:=https://ftp.debian.org/debian}" "${security:=https://ftp.debian.org/debian-security}"
cat >"$work/etc/apt/sources.list" <<END
deb $debian trixie main non-free-firmware
deb $debian trixie-updates main non-free-firmware
deb $security trixie-security main non-free-firmware
END
options=(-o "Dir=$work" -o "Dir::State=$work/state" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache"
  -o "Dir::Etc=$work/etc/apt" -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Debug::NoLocking=true
  -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o Dir::Log="$work")
apt-get "${options[@]}" -qq update
while read -r -a packages; do
  if answer=$(apt-get "${options[@]}" -qq --simulate install "${packages[@]}" 2>"$work/error"); then
    echo "SET $(sed -n 's/^Inst \([^ ]*\).*/\1/p' <<<"$answer" | sed 's/:.*//' | tr '\n' ' ')"
  else
    echo "SET error: $(tr '\n' ' ' <"$work/error")"
  fi
done <"$1"
