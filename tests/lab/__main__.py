"""`python -m tests.lab`, from the repository's root."""

import sys

from .lab import main

sys.exit(main())
