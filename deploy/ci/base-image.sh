#!/usr/bin/env bash
# The image `opsite-base:bookworm`, made without a registry: debootstrap and `docker import`. A second call does nothing.
# It holds Python 3.11, pip, and the system libraries that torch and vLLM's CPU build need.
set -euo pipefail
image=opsite-base:bookworm
if docker image inspect "$image" >/dev/null 2>&1; then
  echo "base image: $image is there"
  exit 0
fi
command -v debootstrap >/dev/null || {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq debootstrap >/dev/null
}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
echo "base image: debootstrap of bookworm"
debootstrap --variant=minbase \
  --include=python3,python3-venv,python3-pip,ca-certificates,libssl3,libffi8,libsqlite3-0,libgomp1,libnuma1 \
  bookworm "$root" "$mirror" >"$root.log" 2>&1 || { tail -n 20 "$root.log"; exit 1; }
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
tar -C "$root" -c . | docker import --change 'CMD ["python3"]' - "$image" >/dev/null
echo "base image: $image made"
