"""The group that makes a staff user a teacher, with its permissions in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission

TEACHERS = "Teachers"
PERMISSIONS = (
    "view_classroom",
    "change_classroom",
    # To copy a rubric and change the copy; which may be changed: `permissions.changeable_rubrics`.
    "view_rubric",
    "add_rubric",
    "change_rubric",
    "view_criterion",
    "add_criterion",
    "change_criterion",
    "delete_criterion",
    "view_item",
    "add_item",
    "change_item",
    "delete_item",
    "view_submission",
    "view_deletion",
    "view_consent",
    "view_consenttext",
    "view_receipt",
    "view_transcript",
    "view_form",
    "view_evaluation",
    "view_coachquestion",
    "view_task",
    "change_task",  # to retry, cancel and requeue; nobody edits one
    "view_attempt",
    "view_event",
)


def ensure_groups(**_: Any) -> None:
    """Create the group and add its permissions; after every migrate, so that old installations get new permissions.

    Permissions that an operator added stay.
    """
    teachers, _created = Group.objects.get_or_create(name=TEACHERS)
    apps = ("evaluations", "queueing")
    teachers.permissions.add(*Permission.objects.filter(codename__in=PERMISSIONS, content_type__app_label__in=apps))
