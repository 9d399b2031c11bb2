"""Edits in plain forms of the admin, in the audit log like everything else: what changed, before and after, and why."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.db.models import Model
from django.http import HttpRequest

from headshots.accounts.admin import AccountAdmin
from headshots.accounts.models import User
from headshots.dashboard.deeds import reason_field
from headshots.dashboard.models import Deed
from headshots.dashboard.subjects import name_of
from headshots.shoots.look_admin import StyleAdmin
from headshots.shoots.models import Style

# Addresses stand in account tables only, and nobody looks at a password.
_PRIVATE = {"email", "password", "password1", "password2", "usable_password", "reason"}
_LONGEST = 60
_SUBJECTS: dict[type[Model], str] = {User: "account", Style: "style"}

admin.site.unregister([User, Style])


class _WrittenDown(admin.ModelAdmin):  # type: ignore[type-arg]
    """Writes into the audit log what Django would into a log of its own."""

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        names = [name for name in form.changed_data if name not in _PRIVATE]
        after = {name: _words(form.cleaned_data.get(name)) for name in names}
        if add:
            return {name: words for name, words in after.items() if words != "none"}
        return {name: f"{_words(form.initial.get(name))} → {after[name]}" for name in names}

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        return _write_down(request, "add", obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        return _write_down(request, "edit", obj, message)


class _AccountForm(UserChangeForm):  # type: ignore[type-arg]
    reason = reason_field()


class _NewAccountForm(AdminUserCreationForm):  # type: ignore[type-arg]
    reason = reason_field()


@admin.register(User)
class WrittenAccountAdmin(_WrittenDown, AccountAdmin):
    """Who is staff, and why."""

    form = _AccountForm
    add_form = _NewAccountForm

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = tuple(super().get_fieldsets(request, obj))
        may_save = self.has_change_permission(request, obj)
        return (*fieldsets, ("For the audit log", {"fields": ("reason",)})) if may_save else fieldsets


@admin.register(Style)
class WrittenStyleAdmin(_WrittenDown, StyleAdmin):
    """Looks on offer and their order; a draft needs no reason, publishing it does."""


def _write_down(request: HttpRequest, action: str, thing: Model, changes: dict[str, str]) -> Deed:
    assert isinstance(request.user, User)
    return Deed.objects.create(
        who=request.user.pk,
        action=action,
        subject=_SUBJECTS[type(thing)],
        subject_id=str(thing.pk),
        about=name_of(thing),
        reason=request.POST.get("reason", ""),
        details=changes,
    )


def _words(value: object) -> str:
    """A field's value as the audit log keeps it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(sorted(str(each) for each in value)) or "none"
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
