"""Disclose that headshots were made with AI: on pages, in emails and in ZIP files."""

from dataclasses import dataclass, replace

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse

from headshots import engine
from headshots.engine import DigitalSource
from headshots.shoots.models import Pack


@dataclass(frozen=True)
class Disclosure:
    """The words for one digital source type.

    Attributes:
        label: "AI generated" or "AI modified".
        origin: how such a picture was made, for readers of `/verify/`.
        about: how the headshots of a pack were made, for the customer.
        profile: words that customers can copy for their profiles.
    """

    label: str
    origin: str
    about: str
    profile: str


_GENERATED = Disclosure(
    label="AI generated",
    origin="Generated entirely by an AI model.",
    about="An AI model drew these pictures from your photo. They look like you, but they aren’t photos.",
    profile="This portrait was generated with AI from my own photo.",
)
_MODIFIED = Disclosure(
    label="AI modified",
    origin="Composed of a photo and a computer-generated background, without generative AI.",
    about="Your face, hair and clothes are from your own photo. Software changed background, light and framing.",
    profile="This is my own photo. Its background and lighting were edited with AI.",
)
DISCLOSURES = {
    DigitalSource.TRAINED: _GENERATED,
    DigitalSource.COMPOSITE: _MODIFIED,
    DigitalSource.COMPOSITE_WITH_TRAINED: replace(
        _MODIFIED, origin="Composed of a photo and a computer-generated background, with the help of an AI model."
    ),
}


def disclosure_of(engine_name: str) -> Disclosure:
    """Return the disclosure for pictures of this engine."""
    return DISCLOSURES[engine.digital_sources(engine_name)[0]]


def zip_readme(pack: Pack, *, has_versions: bool) -> str:
    """Return the README.txt of the pack's ZIP. has_versions: the ZIP has a folder for each version of a headshot."""
    site = settings.HEADSHOTS_SITE_URL
    context = {
        "pack": pack,
        "disclosure": disclosure_of(pack.engine),
        "source_types": engine.digital_sources(pack.engine),
        "has_versions": has_versions,
        "has_site_url": bool(site),
        "verify_url": site + reverse("verify"),
        "terms_url": site + reverse("terms"),
    }
    return render_to_string("shoots/zip_readme.txt", context)
