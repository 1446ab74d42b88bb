"""Run the command line from a checkout: python3 -m kvmha."""

from __future__ import annotations

import sys

from kvmha.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
