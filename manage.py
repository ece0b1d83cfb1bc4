#!/usr/bin/env python
"""Django's command line for Opsite."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run one management command. Ctrl-C before it has come so far as to handle it ends it without a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsite.settings")
    try:
        from django.core.management import execute_from_command_line

        from audit.shell import note_command

        note_command(sys.argv)
        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
