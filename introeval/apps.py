from django.apps import AppConfig


class IntroEvalConfig(AppConfig):
    name = "introeval"

    def ready(self) -> None:
        from django.db.backends.signals import connection_created

        from introeval import checks, database, logs  # noqa: F401 - the checks register themselves
        from introeval.backup.age import backup_age
        from introeval.lan import ending
        from queueing.signals import health_asked

        connection_created.connect(database.bound_session)
        health_asked.connect(backup_age.alert, dispatch_uid="introeval.backup")
        health_asked.connect(ending.alert, dispatch_uid="introeval.certificate")
        # Here as well as in manage.py: daphne starts without that.
        logs.configure()
