"""The GPU worker: claims turns from Redis, runs them in one continuously batched engine, streams what comes out."""
