#!/usr/bin/env python
"""Django's command line for this product."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "headshots.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # A setting that cannot be read: its name and what it should be, not where in the code it was read.
        sys.exit(f"Error: {error}")
