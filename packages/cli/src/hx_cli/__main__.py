"""`python -m hx_cli`."""

import sys

from hx_cli import main

sys.exit(main())
