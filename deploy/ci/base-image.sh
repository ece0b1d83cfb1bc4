#!/usr/bin/env bash
# Makes the image `opsite-base:bookworm` without a registry: debootstrap, then `docker import`. Run as root.
#
# It holds Debian's Python 3.11, pip, and the system libraries that torch and vLLM's CPU build need, and trusts the
# certificate authorities that this host trusts, so that pip works in a build behind a company's proxy, too.
# A second call does nothing; where Docker has forgotten the image, it comes from the tarball of the first one.
#
#   DEBIAN_MIRROR   where packages come from (default: debootstrap's, which is Debian's own)
#   OPSITE_CACHE    where the tarball is kept (default: ~/.cache/opsite)
set -euo pipefail

image=opsite-base:bookworm
packages=python3,python3-venv,python3-pip,ca-certificates,libssl3,libffi8,libsqlite3-0,libgomp1,libnuma1
authorities=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
cache=${OPSITE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/opsite}

# The recipe's digest is the image's revision: a changed recipe makes a new image.
revision=$({ echo "$packages"; cat "$0" "$authorities" 2>/dev/null || true; } | sha256sum | cut -c1-16)
tarball=$cache/base-bookworm-$revision.tar

if [ "$(docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$image" 2>/dev/null)" = "$revision" ]; then
  echo "base image: $image is there"
  exit 0
fi

if [ ! -f "$tarball" ]; then
  command -v debootstrap >/dev/null || {
    echo "base image: installing debootstrap"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
  }
  mkdir -p "$cache"
  root=$(mktemp -d)
  trap 'rm -rf "$root" "$root.log" "$tarball.part"' EXIT
  echo "base image: debootstrap of bookworm (a minute or two)"
  debootstrap --variant=minbase --include="$packages" bookworm "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$root.log" 2>&1 || {
    tail -n 20 "$root.log"
    exit 1
  }
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  [ ! -f "$authorities" ] || cp "$authorities" "$root/etc/ssl/certs/ca-certificates.crt"
  tar -C "$root" -cf "$tarball.part" .
  mv "$tarball.part" "$tarball"
fi

docker import --change 'CMD ["python3"]' --change "LABEL org.opencontainers.image.revision=$revision" \
  "$tarball" "$image" >/dev/null
echo "base image: $image made"
