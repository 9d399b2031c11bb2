"""The upload form: validate files and consent before anything is stored."""

import time
from typing import cast

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.forms.utils import ErrorDict
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from headshots import engine
from headshots.accounts.models import User
from headshots.shoots.consent import current
from headshots.shoots.models import Shoot
from headshots.web.budgets import Budget

# The total time that the photos of one upload wait for a free decoder. Their own decoding is not included.
WAIT_SECONDS = 20.0
# Longer than the decoder's timeout (pipeline/photos/intake.py). The lease of a killed process expires after it.
_DECODE_LEASE_SECONDS = 40

_WORDS = {
    engine.Reason.UNREADABLE: "We can't read {file}. It may be damaged or incomplete. Please choose another photo.",
    engine.Reason.UNSUPPORTED_FORMAT: "We can't use {file}. Please upload a JPEG, PNG, WebP or HEIC photo.",
    engine.Reason.TOO_LARGE: "We can't use {file}. Photos can be up to 25 MB and 60 megapixels.",
    engine.Reason.TOO_SLOW: "We can't open {file} in time. Please save it as a standard JPEG and try again.",
}


class _PhotosInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class _PhotosField(forms.FileField):
    """A field for one to `HEADSHOTS_MAX_PHOTOS` photos. Its value is their re-encoded JPEG bytes.

    Raises BudgetExceeded when no decoder is free.

    Attributes:
        holder: id of the account. One photo per account is decoded at a time.
        wait_seconds: how long the photos may still wait for a decoder.
        decoder_seconds: how long decoders worked on the photos, including refused ones."""

    holder = ""
    wait_seconds = 0.0
    decoder_seconds = 0.0
    widget = _PhotosInput(attrs={"multiple": True, "accept": "image/jpeg,image/png,image/webp,image/heic,image/heif"})

    def clean(self, data: object, initial: object = None) -> list[bytes]:
        files = cast("list[UploadedFile[bytes]]", data if isinstance(data, list) else [data] if data else [])
        if not files:
            raise forms.ValidationError("Please choose at least one photo.", code="required")
        if len(files) > settings.HEADSHOTS_MAX_PHOTOS:
            most = settings.HEADSHOTS_MAX_PHOTOS
            raise forms.ValidationError(f"You can upload up to {most} photos at a time.", code="many")
        photos, errors = [], []
        self.wait_seconds = WAIT_SECONDS
        for number, file in enumerate(files, 1):
            try:
                photos.append(self._clean_file(file))
            except engine.PhotoRefused as refused:
                errors.append(
                    forms.ValidationError(_WORDS[refused.reason].format(file=_describe_file(number, len(files))))
                )
        if errors:
            raise forms.ValidationError(errors)
        return photos

    def _clean_file(self, file: "UploadedFile[bytes]") -> bytes:
        if (file.size or 0) > settings.HEADSHOTS_MAX_PHOTO_BYTES:
            raise engine.PhotoRefused(engine.Reason.TOO_LARGE)
        # A decoder may take 1.5 GB and some seconds, so all processes together run only a few, one per account.
        total = settings.HEADSHOTS_LIMITS.max_concurrent_decodes
        decodes = Budget("decodes", total=total, per_holder=1, lease_seconds=_DECODE_LEASE_SECONDS)
        asked = time.monotonic()
        with decodes.hold(holder=self.holder, wait_seconds=self.wait_seconds):
            began = time.monotonic()
            self.wait_seconds = max(0.0, self.wait_seconds - (began - asked))
            try:
                return engine.clean_upload(file.read())
            finally:
                self.decoder_seconds += time.monotonic() - began


class AgreedField(forms.Field):
    """A checkbox whose value is the version of its text. A plain "on" agrees to the current version.

    The cleaned value is the current version. A tick next to an older text is refused, so that the new text is read."""

    # Not Django's checkbox, which only returns True or False.
    widget = forms.TextInput

    def __init__(self, text: str, please: str) -> None:
        super().__init__(error_messages={"required": please})
        self.text = text

    def clean(self, value: object) -> str:
        now = current(self.text).version
        if value in (None, False, "", "false"):
            raise forms.ValidationError(self.error_messages["required"], code="required")
        if value not in (True, "on", now):
            words = "This text has changed since you opened the page. Please read it again, then check the box."
            raise forms.ValidationError(words, code="changed")
        return now


class NewShootForm(forms.Form):
    """The upload form: photos, and two separate consents."""

    photos = _PhotosField()
    consent = AgreedField("consent", please="We need your consent to process your photos. Please check this box.")
    # Idempotency key, one per rendered form.
    submission = forms.UUIDField(required=False, widget=forms.HiddenInput)
    ask_first = forms.BooleanField(required=False)
    is_me = AgreedField("is_me", please="Please confirm that the photos show you and that you are 18 or older.")

    def __init__(
        self,
        data: QueryDict | None = None,
        files: "MultiValueDict[str, UploadedFile[bytes]] | None" = None,
        *,
        owner: User | None = None,
        initial: dict[str, object] | None = None,
    ) -> None:
        super().__init__(data, files, initial=initial)
        self._photos_field.holder = str(owner.pk) if owner else ""

    @property
    def _photos_field(self) -> _PhotosField:
        return cast(_PhotosField, self.fields["photos"])

    @property
    def decoder_seconds(self) -> float:
        """Return how many seconds decoders have worked on the photos."""
        return self._photos_field.decoder_seconds

    def refuse(self, sentence: str) -> None:
        """Replace all errors of the form with this sentence, because they are not the reason for the refusal."""
        self._errors = ErrorDict()
        self.cleaned_data = {}
        self.add_error(None, sentence)

    def earlier_shoot(self, owner: User) -> Shoot | None:
        """Return the shoot that this rendered form has already created, or None."""
        try:
            submission = self.fields["submission"].clean(self.data.get("submission", ""))
        except forms.ValidationError:
            return None
        return Shoot.objects.filter(owner=owner, submission=submission).first() if submission else None


def _describe_file(number: int, count: int) -> str:
    # By position, not by name. File names are personal and are never stored, not even in an error.
    return "this file" if count == 1 else f"photo {number}"
