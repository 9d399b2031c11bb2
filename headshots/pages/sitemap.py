"""The public pages, listed for search engines."""

from django.conf import settings
from django.contrib.sitemaps import Sitemap
from django.urls import reverse

_PAGES = (
    *("pages:home", "pages:how", "payments:pricing", "pages:likeness", "verify", "retention:schedule"),
    *("pages:privacy", "terms", "pages:abuse"),
)


class PublicPages(Sitemap):  # type: ignore[type-arg]
    """A sitemap of the pages that anyone can open."""

    def items(self) -> list[str]:
        return [*_PAGES, *(["pages:imprint"] if settings.HEADSHOTS_OPERATOR else [])]

    def location(self, item: str) -> str:
        return reverse(item)
