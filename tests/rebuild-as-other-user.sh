#!/usr/bin/env bash
# usage: rebuild-as-other-user.sh BAKELITE LOCK OUTPUTS
# Builds recipes/kvm.toml from LOCK in a new folder as an ordinary user that is made for it, with
# another umask, time zone and an hour of faked time, and compares every file of SHA256SUMS.
set -euo pipefail
bakelite=$1 lock=$2 outputs=$3
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d /var/tmp/rebuild.XXXXXX)
sysroot=$(rustc --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
user=
clean() {
  if [ -n "$user" ]; then
    userdel "$user" 2>/dev/null || true
  fi
  rm -rf "$work" || true
}
trap clean EXIT
mkdir "$work/project with space"
(cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$work/project with space")
cp "$bakelite" "$work/bakelite"
cp "$lock" "$work/lock"
mkdir -p "$work/cache" "$work/cargo"
cp -r "${XDG_CACHE_HOME:-$HOME/.cache}/bakelite/vault" "$work/cache/vault"
[ ! -d "$cargo_home/registry" ] || cp -r "$cargo_home/registry" "$work/cargo/registry"
# The toolchain must be readable for the other user. Rust's programs hang under faketime: they get the
# real time, which none of their output depends on.
cp -r "$sysroot" "$work/rust"
for program in cargo rustc; do
  mv "$work/rust/bin/$program" "$work/rust/bin/$program.real"
  # shellcheck disable=SC2016  # for the wrapper to expand
  printf '#!/bin/bash\nunset LD_PRELOAD\nexec "${0%%/*}/%s.real" "$@"\n' "$program" >"$work/rust/bin/$program"
  chmod +x "$work/rust/bin/$program"
done

cat >"$work/run" <<END
#!/bin/bash
set -e
umask 0077
export TZ=Pacific/Auckland LC_ALL=C HOME=$work/home CARGO_HOME=$work/cargo PATH=$work/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin
export SSL_CERT_FILE=${SSL_CERT_FILE:-}
cd "$work/project with space"
faketime -f +1h "$work/bakelite" --cache "$work/cache" build recipes/kvm.toml --lock "$work/lock" --out "$work/out"
END
chmod 755 "$work" "$work/run"
if [ "$(id -u)" = 0 ]; then
  user=bakelite-test-$$
  useradd --create-home --home-dir "$work/home" --shell /bin/bash "$user"
  first=$((1000000 + ($$ % 10000) * 65536))
  grep -q "^$user:" /etc/subuid || usermod --add-subuids "$first-$((first + 65535))" --add-subgids "$first-$((first + 65535))" "$user"
  chown -R "$user:" "$work"
  setpriv --reuid "$user" --regid "$user" --init-groups "$work/run"
else
  mkdir "$work/home"
  "$work/run"
fi
cmp "$outputs/SHA256SUMS" "$work/out/kvm/0.1.0/SHA256SUMS"
(cd "$work/out/kvm/0.1.0" && sha256sum --quiet -c "$outputs/SHA256SUMS")
