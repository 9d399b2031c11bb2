"""Record edits in plain admin forms in the audit log: what changed, from what to what, and why."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.db.models import Model
from django.http import HttpRequest

from headshots.accounts.admin import AccountAdmin
from headshots.accounts.current_user import current_user
from headshots.accounts.models import User
from headshots.dashboard.actions.audit_actions import reason_field
from headshots.dashboard.actions.targets import target_label
from headshots.dashboard.models import AuditLogEntry
from headshots.dashboard.roles import OWNER
from headshots.shoots.looks.admin import StyleAdmin
from headshots.shoots.models import Style

# Email addresses may be stored in account tables only, and passwords must not be logged.
_NEVER_LOGGED = {"email", "password", "password1", "password2", "usable_password", "reason"}
_MAX_TEXT_LENGTH = 60
_TARGET_TYPES: dict[type[Model], str] = {User: "account", Style: "style"}

admin.site.unregister([User, Style])


class _AuditedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """An admin page that records changes in the audit log instead of Django's own log."""

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        names = [name for name in form.changed_data if name not in _NEVER_LOGGED]
        after = {name: _format_value(form.cleaned_data.get(name)) for name in names}
        if add:
            return {name: words for name, words in after.items() if words != "none"}
        return {name: f"{_format_value(form.initial.get(name))} → {after[name]}" for name in names}

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        return _log_edit(request, "add", obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        return _log_edit(request, "edit", obj, message)


class _AccountForm(UserChangeForm):  # type: ignore[type-arg]
    """The form for an account, with a required reason.

    Staff cannot remove their own access, and the last active superuser keeps that status."""

    reason = reason_field()
    # The account of the member of staff who edits.
    staff: User

    def clean(self) -> dict[str, Any]:
        answers: dict[str, Any] = super().clean() or self.cleaned_data
        roles = answers.get("groups", ())
        if roles and not answers.get("is_staff"):
            self.add_error("is_staff", "Only staff accounts can have roles. Select this as well, or remove the roles.")
        if self.instance.pk == self.staff.pk and (lost := self._lost_access(answers)):
            self.add_error(lost, "You'd lose your own access. Ask another owner to make this change.")
        elif self._ends_a_superuser(answers) and not self._is_another_superuser_left():
            words = "This is the last superuser account. Make another account a superuser first."
            self.add_error("is_staff" if not answers.get("is_staff") else "is_superuser", words)
        return answers

    def _lost_access(self, answers: dict[str, Any]) -> str:
        """Return the field whose change would take away the right to edit accounts. Returns "" if there is none."""
        for name in ("is_staff", "is_superuser"):
            if self.initial.get(name) and not answers.get(name, True):
                return name
        kept = {group.name for group in answers.get("groups", ())}
        had = {group.name for group in self.initial.get("groups", ())}
        return "groups" if OWNER in had - kept and not self.instance.is_superuser else ""

    def _ends_a_superuser(self, answers: dict[str, Any]) -> bool:
        was = self.initial.get("is_superuser", self.instance.is_superuser) and self.initial.get("is_staff")
        return bool(was) and not (answers.get("is_staff") and answers.get("is_superuser", True))

    def _is_another_superuser_left(self) -> bool:
        """Return True if another active superuser exists.

        Locks the rows of all superusers, so that two of them cannot demote each other at the same time."""
        superusers = User.objects.select_for_update().filter(is_superuser=True, is_staff=True, is_active=True)
        return bool(set(superusers.order_by("pk").values_list("pk", flat=True)) - {self.instance.pk})


class _NewAccountForm(AdminUserCreationForm):  # type: ignore[type-arg]
    reason = reason_field()


@admin.register(User)
class AuditedAccountAdmin(_AuditedAdmin, AccountAdmin):
    """The admin page of accounts, which requires a reason for each change."""

    form = _AccountForm
    add_form = _NewAccountForm

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **options)
        # Django builds a new form class for each request, so this attribute is not shared.
        form.staff = request.user
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = tuple(super().get_fieldsets(request, obj))
        may_save = self.has_change_permission(request, obj)
        return (*fieldsets, ("Audit log", {"fields": ("reason",)})) if may_save else fieldsets


@admin.register(Style)
class AuditedStyleAdmin(_AuditedAdmin, StyleAdmin):
    """The admin page of looks. Drafts need no reason, but publishing one does."""


def _log_edit(request: HttpRequest, action: str, target: Model, changes: dict[str, str]) -> AuditLogEntry:
    return AuditLogEntry.objects.create(
        staff_id=current_user(request).pk,
        action=action,
        target_type=_TARGET_TYPES[type(target)],
        target_id=str(target.pk),
        target_name=target_label(target),
        reason=request.POST.get("reason", ""),
        details=changes,
    )


def _format_value(value: object) -> str:
    """Return the value of a field as the audit log stores it, cut to _MAX_TEXT_LENGTH characters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(sorted(str(each) for each in value)) or "none"
    text = str(value)
    return text if len(text) <= _MAX_TEXT_LENGTH else f"{text[:_MAX_TEXT_LENGTH]}…"
