from django.apps import AppConfig


class EvaluationsConfig(AppConfig):
    name = "evaluations"

    def ready(self) -> None:
        from evaluations import live, stages
        from queueing import pipelines

        pipelines.register(stages.EVALUATION)
        live.connect()
