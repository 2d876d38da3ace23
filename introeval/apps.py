from django.apps import AppConfig


class IntroEvalConfig(AppConfig):
    name = "introeval"

    def ready(self) -> None:
        from introeval import checks, logs  # noqa: F401 - the checks register themselves

        # Here as well as in manage.py: daphne starts without that.
        logs.configure()
