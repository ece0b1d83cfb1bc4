#!/usr/bin/env python
"""Django's command line for Opsite."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsite.settings")
    from django.core.management import execute_from_command_line

    from audit.shell import note_command

    note_command(sys.argv)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
