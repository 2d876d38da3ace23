"""What the server that forks workers imports before the first fork: all of their code, and no connection."""

import django

django.setup()

from introeval.rehearsal import nodes  # noqa: E402, F401 - for the workers that are forked
from queueing.models import schema  # noqa: E402

schema.known()
