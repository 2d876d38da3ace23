"""The verbs of users, each an atomic function over several models: what students do, and what teachers decide."""

from evaluations.actions.submissions import (
    cancel,
    delete,
    remove_files_of_deleted,
    retry,
    retry_all,
    retry_at_sign_in,
    submit,
)

__all__ = ["cancel", "delete", "remove_files_of_deleted", "retry", "retry_all", "retry_at_sign_in", "submit"]
