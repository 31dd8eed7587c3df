"""``python -m edgeperso`` is the ``edgeperso`` command."""

from __future__ import annotations

import sys

from edgeperso.cli import main

sys.exit(main())
