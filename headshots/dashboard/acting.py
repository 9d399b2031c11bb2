"""The page on which staff confirms an action, and what leads there."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from headshots.accounts.models import User
from headshots.dashboard.actions import ACTIONS
from headshots.dashboard.deeds import Action, Changed, NotPossible, fresh_form, perform
from headshots.shoots.models import StyleVersion

# Where one comes from and goes back to, by what the action is done to.
_PAGES = {
    "pack": "admin:shoots_pack_change",
    "shoot": "admin:support_timeline",
    "account": "admin:accounts_user_change",
    "payment": "admin:payments_payment_change",
    "credit": "admin:payments_credit_change",
    "receipt": "admin:retention_receipt_change",
    "look": "admin:shoots_style_change",
}


@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, code: str, thing_id: str) -> HttpResponse:
    """Ask why, then do it."""
    action = ACTIONS.get(code)
    if action is None:
        raise Http404
    if not request.user.has_perm(action.permission):
        raise PermissionDenied
    thing = action.load(thing_id)
    form, status = fresh_form(action, thing), 200
    if request.method == "POST":
        form = action.form(request.POST)
        if form.is_valid():
            assert isinstance(request.user, User)
            try:
                told = perform(action=action, thing_id=thing_id, answers=form.cleaned_data, staff=request.user)
            except NotPossible as error:
                form, status = fresh_form(action, thing), 409
                messages.error(request, str(error))
            except Changed:
                thing = action.load(thing_id)
                form, status = fresh_form(action, thing), 409
                messages.warning(request, "It has changed since you looked. This is how it stands now; ask again.")
            else:
                messages.success(request, told)
                return redirect(action.then, thing_id) if action.then else redirect(_back_to(action, thing))
        else:
            status = 422
    context = {
        "title": action.title,
        "action": action,
        "thing_id": thing_id,
        "state": action.state_of(thing),
        "why_not": action.why_not(thing),
        "form": form,
        "back": _back_to(action, thing),
        "has_permission": True,
    }
    return render(request, "dashboard/act.html", context, status=status)


def _back_to(action: Action, thing: object) -> str:
    """The page of what it is done to; a version's is that of its look."""
    page = _PAGES.get(action.subject)
    pk = thing.style_id if isinstance(thing, StyleVersion) else getattr(thing, "pk", None)
    return reverse(page, args=[pk]) if page else reverse("admin:index")
