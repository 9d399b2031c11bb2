"""The confirmation page of a staff action."""

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from headshots.accounts.models import User
from headshots.dashboard.actions.audit_actions import (
    Action,
    ActionUnavailable,
    StaleTargetError,
    format_entry,
    new_form,
    perform,
)
from headshots.dashboard.actions.registry import ACTIONS, action_title
from headshots.dashboard.actions.targets import TARGET_URL_NAMES, audit_log_url, target_facts, target_label
from headshots.dashboard.models import AuditLogEntry
from headshots.shoots.models import StyleVersion


@require_http_methods(["GET", "HEAD", "POST"])
def confirm_action(request: HttpRequest, code: str, target_id: str) -> HttpResponse:
    """Show the confirmation page of a staff action, and perform the action when its form is submitted.

    Answers 403 without the permission, 404 for unknown actions and targets, and 422 for an invalid form.
    Answers 409 if the action is blocked or the target has changed since the page was shown."""
    action = ACTIONS.get(code)
    if action is None:
        raise Http404
    if not isinstance(request.user, User) or not request.user.has_perm(action.permission):
        raise PermissionDenied
    target = action.load(target_id)
    form, status = new_form(action, target), 200
    if request.method == "POST":
        form = action.form(request.POST)
        if form.is_valid():
            try:
                message = perform(action=action, target_id=target_id, answers=form.cleaned_data, staff=request.user)
            except ActionUnavailable as error:
                form, status = new_form(action, target, form.cleaned_data), 409
                messages.error(request, str(error))
            except StaleTargetError:
                target = action.load(target_id)
                form, status = new_form(action, target, form.cleaned_data), 409
                messages.warning(request, _stale_message(action, target_id, request.user))
            else:
                messages.success(request, message)
                url_name = action.success_url_name
                return redirect(url_name, target_id) if url_name else redirect(_target_url(action, target))
        else:
            status = 422
    context = {
        "title": f"{action.title}: {target_label(target)}",
        "name": target_label(target),
        "facts": target_facts(target, request.user),
        "action": action,
        "blocked_reason": action.blocked_reason(target),
        "form": form,
        "back": _target_url(action, target),
        "has_permission": True,
    }
    return render(request, "dashboard/confirm_action.html", context, status=status)


@require_safe
def target_page(request: HttpRequest, target_type: str, target_id: str) -> HttpResponse:
    """Redirect from an audit log entry to the page of its target.

    Answers 404 if the target no longer exists, except for looks: their admin page checks that."""
    if target_type == "style":
        return redirect(TARGET_URL_NAMES[target_type], target_id)
    action = next((each for each in ACTIONS.values() if each.target_type == target_type), None)
    if action is None:
        raise Http404
    return redirect(_target_url(action, action.load(target_id)))


@require_safe
def history(request: HttpRequest, app: str, model: str, object_id: str) -> HttpResponse:
    """Redirect from Django's history page of a row to the audit log of that row. Django's own log is empty.

    Answers 403 without the permission, and 404 for unknown rows and for models without an audit log."""
    if not request.user.has_perm("dashboard.view_auditlogentry"):
        raise PermissionDenied
    rows = next((each for each in admin.site._registry.values() if each.opts.label_lower == f"{app}.{model}"), None)
    row = rows and rows.get_object(request, unquote(object_id))
    log = audit_log_url(row) if row else ""
    if not log:
        raise Http404
    return redirect(log)


def _stale_message(action: Action, target_id: str, viewer: User) -> str:
    message = "The state has changed since you opened this page. Check the current state, then confirm again."
    last = AuditLogEntry.objects.filter(target_type=action.target_type, target_id=target_id).first()
    return f"{message} Last action: {format_entry(last, action_title(last.action), viewer)}." if last else message


def _target_url(action: Action, target: object) -> str:
    """Return the URL of the target's page. The page of a look's version is the page of the look."""
    target_type = "style" if isinstance(target, StyleVersion) else action.target_type
    pk = target.style_id if isinstance(target, StyleVersion) else getattr(target, "pk", None)
    url_name = TARGET_URL_NAMES.get(target_type)
    return reverse(url_name, args=[pk]) if url_name else reverse("admin:index")
