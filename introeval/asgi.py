"""The door for an ASGI server: pages by HTTP, news by WebSocket."""

from __future__ import annotations

import gc
import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

gc.disable()  # while all is imported that stays: `heap.settle` turns it on
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "introeval.settings")
# Django first: what follows imports models.
django_application = get_asgi_application()

from introeval.routing import websockets  # noqa: E402
from introeval.serving import bodies, sockets, tls, watch  # noqa: E402
from introeval.serving.liveness import Liveness  # noqa: E402
from introeval.serving.threads import ThreadPerRequest  # noqa: E402

bodies.install()
sockets.install()
tls.install()
watch.install()
application = ProtocolTypeRouter({"http": Liveness(ThreadPerRequest(django_application)), "websocket": websockets})
