#!/usr/bin/env bash
# Makes the image `opsite:slim` (or the name given) on the base image of base-image.sh: the control plane, as docker-compose.yml runs it.
# Docker's own cache makes a second call quick, and a change of the code shows in the image.
set -euo pipefail
cd "$(dirname "$0")/../.."
name=${1:-opsite:slim}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

bash deploy/ci/base-image.sh
# The network of the host: its name service, and a proxy if it has one, serve the build, too.
docker build --network host -f deploy/control.Dockerfile -t "$name" \
  --build-arg BASE_IMAGE=opsite-base:bookworm \
  --build-arg PIP_ARGS="${PIP_INDEX_URL:+--index-url $PIP_INDEX_URL}" . >"$log" 2>&1 || {
  tail -n 20 "$log"
  exit 1
}
echo "control image: $name made"
