#!/usr/bin/env python
"""Tiebreak's command line: `manage.py help` lists what it can do."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # platform/ is a folder on the path, never a package: it would shadow the standard library's `platform`.
    sys.path.insert(1, str(Path(__file__).resolve().parent / "platform"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tiebreak.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
