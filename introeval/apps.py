from django.apps import AppConfig


class IntroEvalConfig(AppConfig):
    name = "introeval"

    def ready(self) -> None:
        from django.db.backends.signals import connection_created

        from introeval import checks, database, logs  # noqa: F401 - the checks register themselves

        connection_created.connect(database.bound_session)
        # Here as well as in manage.py: daphne starts without that.
        logs.configure()
