"""How commands name a class."""

from __future__ import annotations

from evaluations.models import Classroom
from queueing.management.base import usage


def named(wanted: str) -> Classroom:
    """The class with that name, or else with that number.

    Raises:
        CommandError: there is none.
    """
    rows = Classroom.objects.select_related("rubric")
    found = rows.filter(name=wanted).first()
    if found is None and wanted.isascii() and wanted.isdigit() and len(wanted) < 19:
        found = rows.filter(pk=int(wanted)).first()
    if found is None:
        names = ", ".join(f"{each.name} ({each.pk})" for each in rows)
        raise usage(f"There is no class {wanted!r}. There are: {names or 'none'}.")
    return found
