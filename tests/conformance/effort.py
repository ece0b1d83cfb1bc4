"""How much the tests of conformance try: little in every run, as much as one likes by an environment variable."""

from __future__ import annotations

import os

EXAMPLES = int(os.environ.get("OPSITE_CONFORMANCE_EXAMPLES") or 3)
"""Requests that are made up for each operation: so many valid ones, and so many that are not."""
HOSTILE = max(1, EXAMPLES // 3)
"""Hostile values that are tried in each place of a request; over all places together, all of them are."""
TIMEOUT_S = 170 + 60 * EXAMPLES
