"""Admin pages of looks: edit, try, publish, restore, import, export."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef
from django.forms import BaseModelFormSet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST, require_safe

from headshots.accounts.current_user import current_user
from headshots.accounts.lists import FilteredAdmin
from headshots.accounts.models import User
from headshots.shoots.looks import versions
from headshots.shoots.looks.forms import LookForm, UploadLooksForm
from headshots.shoots.models import Headshot, Pack, Pause, Style, StyleVersion
from headshots.shoots.packs.estimates import estimate
from headshots.shoots.pauses import is_paused
from headshots.vault import services as vault
from headshots.vault.errors import VaultError


class _OfferFormSet(BaseModelFormSet):  # type: ignore[type-arg]
    """The rows of the list of looks. At least one active look must be in free packs."""

    def clean(self) -> None:
        super().clean()
        rows = [form.cleaned_data for form in self.forms if hasattr(form, "cleaned_data")]
        shown = [row["id"].pk for row in rows if row.get("id")]
        others = Style.objects.filter(active=True, in_preview=True).exclude(pk__in=shown).exists()
        if not others and not any(row.get("active") and row.get("in_preview") for row in rows):
            raise forms.ValidationError("At least one look must be active and in free packs.")


class _OfferForm(forms.ModelForm):  # type: ignore[type-arg]
    """One row of the list of looks. Its fields have no visible labels, so each gets an `aria-label`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for field in self.fields.values():
            field.widget.attrs["aria-label"] = f"{self.instance.title}: {field.label}"


@admin.register(Style)
class StyleAdmin(FilteredAdmin):
    """The admin pages of looks.

    The list sets order, offer and price group. The page of a look saves drafts."""

    form = LookForm
    fieldsets = (
        (None, {"fields": ("name", "title", "description", "based_on")}),
        ("Set and light", {"fields": (("set", "color", "monochrome"), ("light_right", "light_down", "light_front"))}),
        ("Scales", {"fields": (("key", "rim", "wrap"), ("tint", "contrast"), ("saturation", "vignette"))}),
        (
            "Prompts, for engines that generate new pictures",
            {"fields": ("prompt", "negative", ("guidance_scale", "control_scale", "adapter_scale"))},
        ),
    )
    list_display = ("title", "name", "position", "active", "in_preview", "draft")
    list_editable = ("position", "active", "in_preview")
    change_form_template = "admin/shoots/style/change_form.html"
    change_list_template = "admin/shoots/style/change_list.html"

    @admin.display(description="newest version")
    def draft(self, style: Style) -> str:
        newest = versions.latest(style)
        if newest.created_by is None:
            return "built-in"
        return f"{newest.number} (draft)" if versions.is_draft(newest) else str(newest.number)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        # Headshots of finished packs refer to their look. Staff can make it inactive instead.
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Style | None = None) -> tuple[str, ...]:
        return ("name",) if obj else ()

    def get_changelist_formset(self, request: HttpRequest, **options: Any) -> Any:
        return super().get_changelist_formset(request, formset=_OfferFormSet, **options)

    def get_changelist_form(self, request: HttpRequest, **options: Any) -> Any:
        return super().get_changelist_form(request, form=_OfferForm, **options)

    def save_model(self, request: HttpRequest, obj: Style, form: Any, change: bool) -> None:
        """Save the row itself from the list, or a draft from the page of a look."""
        if not isinstance(form, LookForm):
            super().save_model(request, obj, form, change)
            return
        if form.is_there:
            return
        created_by = current_user(request).pk
        if change:
            versions.save_draft(style=obj, look=form.look, created_by=created_by)
        else:
            version = versions.create_look(name=obj.name, look=form.look, created_by=created_by)
            obj.pk = version.style_id
            obj.refresh_from_db()

    def response_add(self, request: HttpRequest, obj: Style, post_url_continue: str | None = None) -> HttpResponse:
        return self._redirect_after_save(request, obj)

    def response_change(self, request: HttpRequest, obj: Style) -> HttpResponse:
        return self._redirect_after_save(request, obj)

    def _redirect_after_save(self, request: HttpRequest, style: Style) -> HttpResponse:
        """Redirect to the page of the look, and start a trial of the draft if `_try` was submitted."""
        if "_try" in request.POST:
            _try(versions.latest(style))
            messages.success(request, "Saved as a draft. A trial with the sample photo has started.")
        else:
            messages.success(request, "Saved as a draft. Customers don't see it until you publish it.")
        return redirect(_page(style))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> HttpResponse:
        style = options.get("obj")
        if style is not None:
            history = style.versions.select_related("trial")
            if request.user.has_perm("accounts.view_user"):
                history = history.annotate(creator=User.objects.filter(pk=OuterRef("created_by")).values("email"))
            newest = history[0]
            context |= {"versions": history[:30], "style": style, "newest": newest, "trial": _trial(newest)}
        return super().render_change_form(request, context, *args, **options)

    def get_urls(self) -> list[URLPattern]:
        def staff(view: Any) -> Any:
            return self.admin_site.admin_view(view)

        own = [
            path("export.toml", staff(require_safe(self.export)), name="look_export"),
            path("import/", staff(self.import_), name="look_import"),
            path("versions/<int:version_id>/try/", staff(require_POST(self.try_)), name="look_try"),
            path("trials/<uuid:headshot_id>.jpg", staff(require_safe(self.trial_picture)), name="look_trial"),
            path("<int:style_id>/trial/", staff(require_safe(self.trial_state)), name="look_trial_state"),
        ]
        return own + super().get_urls()

    def try_(self, request: HttpRequest, version_id: int) -> HttpResponse:
        """Queue a trial of this version."""
        self._require_change(request)
        version = get_object_or_404(StyleVersion.objects.select_related("style", "trial"), pk=version_id)
        _try(version)
        messages.success(request, "A trial with the sample photo has started.")
        return redirect(_page(version.style))

    def trial_state(self, request: HttpRequest, style_id: int) -> HttpResponse:
        """Render the part of the page that shows the trial. The page polls this view."""
        self._require_change(request)
        style = get_object_or_404(Style, pk=style_id)
        newest = get_object_or_404(style.versions.select_related("trial")[:1])
        context = {"newest": newest, "style": style, "trial": _trial(newest)}
        return render(request, "admin/shoots/style/_trial.html", context)

    def trial_picture(self, request: HttpRequest, headshot_id: Any) -> HttpResponse:
        """Serve a trial picture of the sample photo. Pictures of customers are never served here."""
        self._require_change(request)
        row = get_object_or_404(
            Headshot.objects.select_related("blob"), pk=headshot_id, pack__kind=Pack.Kind.TRIAL, blob__isnull=False
        )
        assert row.blob is not None
        try:
            return HttpResponse(vault.read_blob(row.blob), content_type="image/jpeg")
        except VaultError:
            raise Http404 from None

    def export(self, request: HttpRequest) -> HttpResponse:
        """Download all looks, as published, as a TOML file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        response = HttpResponse(versions.export_toml(list(Style.objects.all())), content_type="application/toml")
        response["Content-Disposition"] = 'attachment; filename="looks.toml"'
        return response

    def import_(self, request: HttpRequest) -> HttpResponse:
        """Create drafts from an uploaded TOML file."""
        self._require_change(request)
        form = UploadLooksForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                drafts = versions.import_toml(form.cleaned_data["file"], created_by=current_user(request).pk)
            except versions.LookImportError as refused:
                form.add_error("file", str(refused))
            else:
                messages.success(request, _drafts_in_words(len(drafts)))
                return redirect("admin:shoots_style_changelist")
        context = {**self.admin_site.each_context(request), "title": "Import looks", "form": form, "opts": self.opts}
        status = 422 if request.method == "POST" else 200
        return TemplateResponse(request, "admin/shoots/style/import.html", context, status=status)

    def _require_change(self, request: HttpRequest) -> None:
        if not self.has_change_permission(request):
            raise PermissionDenied


def _page(style: Style) -> str:
    return reverse("admin:shoots_style_change", args=[style.pk])


def _try(version: StyleVersion) -> None:
    if version.trial is None or not version.trial.is_live:
        versions.start_trial(version=version)


def _trial(version: StyleVersion) -> dict[str, object] | None:
    """Return the template context of a version's trial, or None without one.

    `ahead` and `is_paused` say why a queued trial waits."""
    if version.trial is None:
        return None
    rows = list(version.trial.headshots.all())
    waits = version.trial.state == Pack.State.QUEUED
    found = estimate(version.trial, rows) if waits else None
    return {
        "pack": version.trial,
        "pictures": [row for row in rows if row.blob_id],
        "ahead": found.ahead if found else 0,
        "is_paused": waits and is_paused(Pause.Part.RENDERING),
    }


def _drafts_in_words(count: int) -> str | SafeString:
    if not count:
        return "No drafts created. All looks in the file already exist."
    return f"{count} draft{'' if count == 1 else 's'} created. Publish the ones you want."
