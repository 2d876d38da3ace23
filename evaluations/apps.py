from django.apps import AppConfig
from django.db.models.signals import post_migrate


class EvaluationsConfig(AppConfig):
    name = "evaluations"

    def ready(self) -> None:
        from evaluations.access import lockout, roles, session_store, welcome
        from evaluations.actions import trail
        from evaluations.coaching.operations import pipeline as operations
        from evaluations.coaching.operations import requests
        from evaluations.coaching.questions.pipeline import pipeline as coach
        from evaluations.live import relay
        from evaluations.stages import pipeline
        from evaluations.uploads import result_files, upkeep
        from queueing import pipelines
        from queueing.signals import health_asked, upkeep_due

        for each in (*pipeline.PIPELINES, coach(), *operations.PIPELINES):
            pipelines.register(each)
        requests.connect()
        welcome.connect()
        result_files.connect()
        lockout.connect()
        session_store.connect()
        trail.connect()
        relay.connect()
        upkeep_due.connect(upkeep.tidy, dispatch_uid="evaluations.upkeep")
        health_asked.connect(upkeep.stored_videos.alert, dispatch_uid="evaluations.upkeep")
        # `queueing` migrates after this app; its permissions must be there.
        post_migrate.connect(roles.ensure_groups, dispatch_uid="evaluations.roles")
