"""Self-descriptions of customers, for prompts of engines that draw new pictures.

Customers choose the answers from closed lists. Nothing is typed or guessed. The questions are asked only if the engine
draws new pictures. Some answers are as private as a photo, so they are stored in the vault under the photos' key, and
in no table.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import TypeVar

from django import forms
from django.db import transaction

from headshots import engine
from headshots.shoots.models import Shoot
from headshots.vault import services as vault
from headshots.vault.models import Blob

Word = TypeVar("Word", bound=StrEnum)

NO_SELF_DESCRIPTION = engine.SelfDescription()
# Blobs are padded to this size. The size of a blob is stored in a table and must not reveal the answers.
STORED_BYTES = 512

KINDS = {engine.PersonKind.PERSON: "a person", engine.PersonKind.WOMAN: "a woman", engine.PersonKind.MAN: "a man"}
AGES = {
    engine.AgeBand.TWENTIES: "in my twenties",
    engine.AgeBand.THIRTIES: "in my thirties",
    engine.AgeBand.FORTIES: "in my forties",
    engine.AgeBand.FIFTIES: "in my fifties",
    engine.AgeBand.SIXTIES: "in my sixties",
    engine.AgeBand.SEVENTIES: "seventy or older",
}
HAIR = {
    engine.Hair.SHORT_DARK: "short and dark",
    engine.Hair.SHORT_BROWN: "short and brown",
    engine.Hair.SHORT_BLOND: "short and blond",
    engine.Hair.SHORT_RED: "short and red",
    engine.Hair.SHORT_GRAY: "short and gray",
    engine.Hair.LONG_DARK: "long and dark",
    engine.Hair.LONG_BROWN: "long and brown",
    engine.Hair.LONG_BLOND: "long and blond",
    engine.Hair.LONG_RED: "long and red",
    engine.Hair.LONG_GRAY: "long and gray",
    engine.Hair.CURLY: "curly",
    engine.Hair.SHAVED: "shaved",
    engine.Hair.BALD: "bald",
}
OUTFITS = {
    engine.Outfit.SUIT: "a dark suit jacket",
    engine.Outfit.SUIT_AND_TIE: "a suit and tie",
    engine.Outfit.BLAZER: "a blazer",
    engine.Outfit.SHIRT: "a collared shirt",
    engine.Outfit.BLOUSE: "a blouse",
    engine.Outfit.KNIT: "a fine-knit sweater",
    engine.Outfit.T_SHIRT: "a plain T-shirt",
    engine.Outfit.SCRUBS: "medical scrubs",
}


def _choice(label: str, words: Mapping[Word, str], unsaid: str | None) -> forms.TypedChoiceField:
    """Create an optional field with a closed list of answers.

    unsaid: label of the empty choice. None: no empty choice, so the first answer is the default."""
    choices = [(value.value, text) for value, text in words.items()]
    return forms.TypedChoiceField(
        label=label,
        required=False,
        choices=choices if unsaid is None else [("", unsaid), *choices],
        coerce=type(next(iter(words))),
        empty_value=None,
        error_messages={"invalid_choice": "Please choose one of the options."},
    )


class SelfDescriptionForm(forms.Form):
    """The optional questions about the customer. `self_description` has the answers once the form is valid."""

    def __init__(self, data: Mapping[str, object] | None = None, initial: dict[str, object] | None = None) -> None:
        super().__init__(data, initial=initial, label_suffix="")

    kind = _choice("Describe me as", KINDS, None)
    age = _choice("I am", AGES, "prefer not to say")
    hair = _choice("My hair is", HAIR, "prefer not to say")
    outfit = _choice("In my headshots, I’m wearing", OUTFITS, "business attire")
    beard = forms.BooleanField(label="I have a beard", required=False)
    glasses = forms.BooleanField(label="I wear glasses", required=False)
    headscarf = forms.BooleanField(label="I wear a headscarf", required=False)

    @property
    def self_description(self) -> engine.SelfDescription:
        said = {name: value for name, value in self.cleaned_data.items() if value is not None}
        return engine.SelfDescription(**said)


def write_self_description(*, shoot: Shoot, self_description: engine.SelfDescription) -> bool:
    """Replace the self-description of a shoot.

    Returns False if the shoot is closed. Raises KeyGone, VaultUnavailable."""
    with transaction.atomic():
        locked = Shoot.objects.select_for_update().filter(pk=shoot.pk, state=Shoot.State.OPEN).first()
        if locked is None:
            return False
        before = locked.self_description_blob
        locked.self_description_blob = _write(shoot, self_description)
        locked.save(update_fields=["self_description_blob"])
    if before is not None:
        vault.delete_blob(before)
    return True


def read_self_description(*, shoot: Shoot) -> engine.SelfDescription:
    """Return the customer's last self-description, empty if there is none.

    Raises KeyGone, BlobMissing, BlobCorrupt, VaultUnavailable."""
    blob = Shoot.objects.select_related("self_description_blob").get(pk=shoot.pk).self_description_blob
    if blob is None:
        return NO_SELF_DESCRIPTION
    # Validated by the form again, so that only answers of the closed lists are returned.
    form = SelfDescriptionForm(json.loads(vault.read_blob(blob)))
    form.full_clean()
    return form.self_description


def _write(shoot: Shoot, self_description: engine.SelfDescription) -> Blob | None:
    if self_description == NO_SELF_DESCRIPTION:
        return None
    data = json.dumps(asdict(self_description)).encode().ljust(STORED_BYTES)
    return vault.write_blob(ring="source", key_id=shoot.pk, kind="self_description", data=data)
