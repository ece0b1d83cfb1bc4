#!/usr/bin/env bash
# Docker Compose 2 for the tests, if `docker compose` does not know it: the plugin out of Debian's package `docker-compose` of trixie,
# which needs nothing but a C library that bookworm has. Run as root. The system's own package sources are left as they are.
# Calling it again does nothing.
#
#   DEBIAN_MIRROR   where packages come from (default: http://deb.debian.org/debian)
set -euo pipefail

plugins=/usr/local/lib/docker/cli-plugins
if docker compose version >/dev/null 2>&1; then
  echo "compose: $(docker compose version --short) is there"
  exit 0
fi

echo "compose: fetching the plugin out of Debian's docker-compose"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/state/lists/partial "$work"/cache/archives/partial "$work/root"
cat >"$work/trixie.sources" <<END
Types: deb
URIs: ${DEBIAN_MIRROR:-http://deb.debian.org/debian}
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
# An apt of its own: these sources and no others, lists and downloads in a folder that goes.
apt=(apt-get -qq -o Dir::Etc::SourceList="$work/trixie.sources" -o Dir::Etc::SourceParts=- -o Dir::State="$work/state"
  -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root -o Acquire::Retries=3)
"${apt[@]}" update
(cd "$work" && "${apt[@]}" download docker-compose)
dpkg -x "$work"/docker-compose_*.deb "$work/root"
install -D -m 0755 "$work/root/usr/libexec/docker/cli-plugins/docker-compose" "$plugins/docker-compose"
echo "compose: $(docker compose version --short) installed in $plugins"
