#!/usr/bin/env bash
# A Docker engine for the tests: installs Debian's docker.io if there is none, and starts dockerd if none answers. Run as root.
# Calling it again does nothing. The engine started here ends with the machine; its log is named when it starts.
set -euo pipefail

START_S=60
answers() { timeout 5 docker info >/dev/null 2>&1; }
answers_within() { # SECONDS [PID]: false when the time is over, or when the process has ended
  local deadline=$((SECONDS + $1))
  until answers; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    [ -z "${2:-}" ] || kill -0 "$2" 2>/dev/null || return 1
    sleep 0.2
  done
}
start() { # OPTIONS OF dockerd
  log=$(mktemp "${TMPDIR:-/tmp}/dockerd.XXXXXX.log")
  echo "docker: starting dockerd${*:+ $*} (log: $log)"
  rm -f /var/run/docker.pid # of an engine that was killed: none runs here
  setsid dockerd "$@" >"$log" 2>&1 </dev/null &
  answers_within "$START_S" $!
}

if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
  echo "docker: installing docker.io"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    docker.io iptables cgroupfs-mount ca-certificates >/dev/null
fi
if ! answers; then
  if pidof dockerd >/dev/null; then
    echo "docker: waiting for the engine that is starting"
    answers_within "$START_S" || { echo "docker: dockerd runs, but does not answer in $START_S s" >&2; exit 1; }
  else
    # Where no init system has mounted the control groups.
    mountpoint -q /sys/fs/cgroup || cgroupfs-mount
    # Test containers have no network, so an engine that may not touch the host's packet filter serves as well.
    start || { tail -n 5 "$log"; start --iptables=false --ip6tables=false --bridge=none; } || {
      echo "docker: the engine did not start:" >&2
      tail -n 20 "$log" >&2
      exit 1
    }
  fi
fi
echo "docker: engine $(docker version --format '{{.Server.Version}}') answers," \
  "storage $(docker info --format '{{.Driver}}')"
