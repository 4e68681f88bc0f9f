"""`python -m models_rt`."""

import sys

from .cli import main

sys.exit(main())
