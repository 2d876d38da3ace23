from django.apps import AppConfig
from django.db.models.signals import post_migrate


class EvaluationsConfig(AppConfig):
    name = "evaluations"

    def ready(self) -> None:
        from evaluations import live, roles, stages
        from queueing import pipelines

        pipelines.register(stages.EVALUATION)
        live.connect()
        # `queueing` migrates after this app; its permissions must be there.
        post_migrate.connect(roles.ensure_groups, dispatch_uid="evaluations.roles")
