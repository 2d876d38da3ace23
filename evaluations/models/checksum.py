"""A checksum that a row carries from when it was written: whatever changes it later, the two no longer agree."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from django.db import models

LEFT_OUT: Final = frozenset({"created_at", "released_at"})  # the database's, and what is set later


class ChecksumField(models.CharField):  # type: ignore[type-arg]
    """The sha256 of the row's other fields, hex; set whenever an instance is saved. Empty in rows from before."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given: dict[str, Any] = {"max_length": 64, "blank": True, "editable": False, "default": "", "db_default": ""}
        super().__init__(*args, **given | kwargs)

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        value = checksum(model_instance)
        setattr(model_instance, self.attname, value)
        return value


def checksum(row: models.Model) -> str:
    """Of what the row says, however it was written: its id and the checksum itself are left out."""
    fields = [field for field in row._meta.concrete_fields if not isinstance(field, ChecksumField)]
    content = {
        field.attname: _plain(getattr(row, field.attname))
        for field in fields
        if not field.primary_key and field.name not in LEFT_OUT
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_altered(row: Any) -> bool:
    """Whether a row that has a checksum is not what was written."""
    return bool(row.sha256) and row.sha256 != checksum(row)


def _plain(value: Any) -> Any:
    """As the database gives it back: JSON there has one kind of number, lists for tuples and texts for keys."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return float(value) + 0.0  # no negative zero
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value)
