"""What the server that forks workers imports before the first fork: all of their code, and no connection."""

import django

django.setup()

from queueing import schema  # noqa: E402
from queueing.rehearsal import crew  # noqa: E402, F401 - for the workers that are forked

schema.known()
