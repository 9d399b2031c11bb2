"""The page on which staff confirms an action, and what leads there."""

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from headshots.accounts.models import User
from headshots.dashboard.actions.audit_actions import Action, Changed, NotPossible, fresh_form, in_words, perform
from headshots.dashboard.actions.registry import ACTIONS, title_of
from headshots.dashboard.actions.targets import PAGES, audit_log_of, facts_of, name_of
from headshots.dashboard.models import Deed
from headshots.shoots.models import StyleVersion


@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, code: str, thing_id: str) -> HttpResponse:
    """Ask why, then do it."""
    action = ACTIONS.get(code)
    if action is None:
        raise Http404
    if not isinstance(request.user, User) or not request.user.has_perm(action.permission):
        raise PermissionDenied
    thing = action.load(thing_id)
    form, status = fresh_form(action, thing), 200
    if request.method == "POST":
        form = action.form(request.POST)
        if form.is_valid():
            try:
                told = perform(action=action, thing_id=thing_id, answers=form.cleaned_data, staff=request.user)
            except NotPossible as error:
                form, status = fresh_form(action, thing, form.cleaned_data), 409
                messages.error(request, str(error))
            except Changed:
                thing = action.load(thing_id)
                form, status = fresh_form(action, thing, form.cleaned_data), 409
                messages.warning(request, _what_changed(action, thing_id, request.user))
            else:
                messages.success(request, told)
                return redirect(action.then, thing_id) if action.then else redirect(_back_to(action, thing))
        else:
            status = 422
    context = {
        "title": f"{action.title}: {name_of(thing)}",
        "name": name_of(thing),
        "facts": facts_of(thing, request.user),
        "action": action,
        "why_not": action.why_not(thing),
        "form": form,
        "back": _back_to(action, thing),
        "has_permission": True,
    }
    return render(request, "dashboard/act.html", context, status=status)


@require_safe
def about(request: HttpRequest, subject: str, thing_id: str) -> HttpResponse:
    """From a line of the audit log to the page of what it is about. 404 when that is gone."""
    if subject == "style":
        return redirect(PAGES[subject], thing_id)
    action = next((each for each in ACTIONS.values() if each.subject == subject), None)
    if action is None:
        raise Http404
    return redirect(_back_to(action, action.load(thing_id)))


@require_safe
def history(request: HttpRequest, app: str, model: str, object_id: str) -> HttpResponse:
    """In place of the pages of Django's own log, which is empty: the audit log of that row. 404 where none is kept."""
    if not request.user.has_perm("dashboard.view_deed"):
        raise PermissionDenied
    rows = next((each for each in admin.site._registry.values() if each.opts.label_lower == f"{app}.{model}"), None)
    row = rows and rows.get_object(request, unquote(object_id))
    log = audit_log_of(row) if row else ""
    if not log:
        raise Http404
    return redirect(log)


def _what_changed(action: Action, thing_id: str, viewer: User) -> str:
    told = "It has changed since you looked. This is how it stands now; ask again."
    last = Deed.objects.filter(subject=action.subject, subject_id=thing_id).first()
    return f"{told} Done to it last: {in_words(last, title_of(last.action), viewer)}." if last else told


def _back_to(action: Action, thing: object) -> str:
    """The page of what it is done to; a version's is that of its look."""
    subject = "style" if isinstance(thing, StyleVersion) else action.subject
    pk = thing.style_id if isinstance(thing, StyleVersion) else getattr(thing, "pk", None)
    return reverse(PAGES[subject], args=[pk]) if subject in PAGES else reverse("admin:index")
