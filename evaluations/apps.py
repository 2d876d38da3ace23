from django.apps import AppConfig
from django.db.models.signals import post_migrate


class EvaluationsConfig(AppConfig):
    name = "evaluations"

    def ready(self) -> None:
        from evaluations import live, roles, stages, upkeep
        from queueing import pipelines
        from queueing.signals import upkeep_due

        pipelines.register(stages.EVALUATION)
        live.connect()
        upkeep_due.connect(upkeep.tidy, dispatch_uid="evaluations.upkeep")
        # `queueing` migrates after this app; its permissions must be there.
        post_migrate.connect(roles.ensure_groups, dispatch_uid="evaluations.roles")
