"""Rows that are acted on, never edited: each action is confirmed first, on a page that shows what it will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import cached_property
from django.utils.http import url_has_allowed_host_and_scheme

M = TypeVar("M", bound=Model)

MAX_ROWS: Final = 2000  # of a list
SHOWN: Final = 20  # rows that a confirmation page names; the others are counted


class ReasonForm(forms.Form):
    """Why somebody does it; kept in the events."""

    reason = forms.CharField(max_length=300, required=False, widget=forms.TextInput({"class": "vTextField"}))


@dataclass(frozen=True, slots=True)
class AdminAction:
    """An action on rows that a person confirms."""

    label: str
    preview: Callable[[Sequence[Any]], list[str]]  # what will happen, in sentences
    run: Callable[..., tuple[str, bool]]  # (rows, by=, **form) → a report as text, and whether all of it was done
    form: type[forms.Form] = ReasonForm
    fits: Callable[[Any], bool] = lambda row: True  # whether a row's own page offers it


class FirstRows(Paginator[Any]):
    """Counts and shows the first MAX_ROWS of a list: one that grows for years is searched and filtered, not leafed."""

    @cached_property
    def count(self) -> int:
        first: Any = self.object_list[:MAX_ROWS]
        return len(first) if isinstance(first, list) else int(first.count())


class RecentValues(admin.AllValuesFieldListFilter):
    """Offers the values that the newest MAX_ROWS have."""

    def __init__(
        self, field: Any, request: HttpRequest, params: Any, model: Any, model_admin: Any, field_path: str
    ) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)
        newest = model_admin.get_queryset(request).order_by("-pk")
        self.lookup_choices: Any = sorted(set(newest.values_list(field_path, flat=True)[:MAX_ROWS]))


class ReadOnly:
    """Nothing is added, changed or deleted here; lists are bounded."""

    paginator: Any = FirstRows
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ConfirmedActions(admin.ModelAdmin[M]):
    """An admin whose actions are confirmed on a page of their own.

    Acting needs the model's own `change` permission, so that somebody may be allowed to read and not to act; and it
    reaches only rows of `get_queryset`, so what a user does not see cannot be acted on.
    """

    confirmed_actions: ClassVar[Mapping[str, AdminAction]] = {}
    change_form_template = "admin/queueing/change_form.html"

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_act_permission(request):
            return {}
        return {
            name: (partial(_confirm_in_list, name), name, action.label)
            for name, action in self.confirmed_actions.items()
        }

    def get_urls(self) -> list[URLPattern]:
        act = path("act/<slug:name>/", self.admin_site.admin_view(self.act), name=self._url_name)
        return [act, *super().get_urls()]

    @property
    def _url_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_act"

    def describe(self, row: M) -> str:
        """How a confirmation page names a row."""
        return str(row)

    def act(self, request: HttpRequest, name: str) -> HttpResponse:
        """GET: the confirmation page for the rows named in the query. POST: run the action."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        if name not in self.confirmed_actions:
            raise Http404
        action = self.confirmed_actions[name]
        rows = self._rows(request)
        form = action.form(request.POST) if request.method == "POST" else action.form()
        back = request.POST.get("back", "")
        if not form.is_valid():
            return self.confirm(request, name, rows, form, back=back)
        report, complete = action.run(rows, by=f"admin:{request.user.pk}", **form.cleaned_data)
        self.message_user(request, report, messages.SUCCESS if complete else messages.WARNING)
        return HttpResponseRedirect(self._back(request, rows, back))

    def confirm(
        self, request: HttpRequest, name: str, rows: Sequence[M], form: forms.Form, *, back: str
    ) -> HttpResponse:
        action = self.confirmed_actions[name]
        context = {
            **self.admin_site.each_context(request),
            "title": action.label,
            "opts": self.opts,
            "media": self.media,
            "form": form,
            "preview": action.preview(rows),
            "named": [self.describe(row) for row in rows[:SHOWN]],
            "unnamed": max(0, len(rows) - SHOWN),
            "rows": ",".join(str(row.pk) for row in rows),
            "action": reverse(f"admin:{self._url_name}", args=[name]),
            "back": back,
            "cancel": self._back(request, rows, back),
        }
        return TemplateResponse(request, "admin/queueing/confirmation.html", context)

    def _rows(self, request: HttpRequest) -> list[M]:
        """The rows that the request names, as far as its user may see them.

        Raises:
            Http404: there are none.
        """
        given = request.POST if request.method == "POST" else request.GET
        try:
            keys = [self.opts.pk.to_python(key) for key in given.get("rows", "").split(",")]
        except ValidationError:
            raise Http404 from None
        rows = list(self._related(self.get_queryset(request).filter(pk__in=keys)))
        if not rows:
            raise Http404
        return rows

    def _related(self, rows: QuerySet[M]) -> QuerySet[M]:
        """With what `describe` needs, in one query."""
        related = self.list_select_related
        return rows.select_related(*related) if isinstance(related, (list, tuple)) else rows

    def _back(self, request: HttpRequest, rows: Sequence[M], back: str) -> str:
        """The list that the user came from, or the row's own page."""
        if back and url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
            return back
        page = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        return reverse(f"{page}_change", args=[quote(rows[0].pk)]) if len(rows) == 1 else reverse(f"{page}_changelist")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        tools = self._tools(request, object_id) if self.has_act_permission(request) else []
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "tools": tools})

    def _tools(self, request: HttpRequest, object_id: str) -> list[tuple[str, str]]:
        row = self.get_object(request, object_id)
        if row is None:
            return []
        asked = urlencode({"rows": row.pk})
        return [
            (action.label, f"{reverse(f'admin:{self._url_name}', args=[name])}?{asked}")
            for name, action in self.confirmed_actions.items()
            if action.fits(row)
        ]


class ConfirmedActionsAdmin(ReadOnly, ConfirmedActions[M]):
    """Of rows that are acted on and never edited."""


def _confirm_in_list(
    name: str, model_admin: ConfirmedActions[Any], request: HttpRequest, queryset: QuerySet[Any]
) -> HttpResponse:
    """The confirmation page for the rows that were selected in a list."""
    form = model_admin.confirmed_actions[name].form()
    return model_admin.confirm(request, name, list(model_admin._related(queryset)), form, back=request.get_full_path())
