from django.apps import AppConfig


class QueueingConfig(AppConfig):
    name = "queueing"
    verbose_name = "Queue"

    def ready(self) -> None:
        from queueing import checks  # noqa: F401 - the checks register themselves
        from queueing.worker import heap

        heap.keep_threshold()
        heap.settle()
