#!/usr/bin/env bash
# Makes stand-ins for the images of Postgres and Redis that docker-compose.yml names, for machines that cannot pull:
# `opsite-standin-postgres:16` out of the control image, which is made first, and `opsite-standin-redis:7.0` out of Debian's package.
# Docker's own cache makes a second call quick.
set -euo pipefail
cd "$(dirname "$0")"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

bash control-image.sh
for name in opsite-standin-postgres:16 opsite-standin-redis:7.0; do
  service=${name#opsite-standin-}
  # The network of the host, as for the other images.
  docker build --network host -f "standins/${service%:*}.Dockerfile" -t "$name" standins >"$log" 2>&1 || {
    tail -n 20 "$log"
    exit 1
  }
  echo "stand-in image: $name made"
done
