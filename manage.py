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
        # For an invalid setting, print its name and format instead of a traceback.
        sys.exit(f"Error: {error}")
