"""`python -m bootstrapd.cli`: the same as the `bootstrapd` program."""

import sys

from bootstrapd.cli import main

sys.exit(main())
