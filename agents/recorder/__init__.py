"""The recorder: brings what happened in Redis to Postgres, in bulk. Safe to kill, and safe to run twice.

A record is acknowledged (and only then leaves Redis) after its commit. A record that comes again changes nothing: an outcome is
written only over an open state, and so is its answer in a conversation.
"""

from __future__ import annotations

from agents.recorder.recorder import Recorder, record_once

__all__ = ["Recorder", "record_once"]
