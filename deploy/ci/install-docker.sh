#!/usr/bin/env bash
# A Docker engine for the tests: installs Debian's docker.io if there is none, and starts dockerd if none answers.
set -euo pipefail
if ! command -v dockerd >/dev/null; then
  echo "docker: installing docker.io"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker.io >/dev/null
fi
if ! docker info >/dev/null 2>&1; then
  log=$(mktemp /tmp/dockerd.XXXXXX.log)
  echo "docker: starting dockerd (log: $log)"
  rm -f /var/run/docker.pid
  setsid dockerd >"$log" 2>&1 </dev/null &
  for _ in $(seq 300); do
    docker info >/dev/null 2>&1 && break
    sleep 0.2
  done
  docker info >/dev/null 2>&1 || { echo "docker: the engine did not start:"; tail -n 20 "$log"; exit 1; }
fi
echo "docker: engine $(docker version --format '{{.Server.Version}}') answers"
