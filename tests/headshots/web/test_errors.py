"""Whatever goes wrong, the person sees the product's own page and nothing of the machinery, with DEBUG on as well."""

import pytest
from django.conf import LazySettings
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.urls import path

from headshots.urls import handler400 as handler400
from headshots.urls import handler403 as handler403
from headshots.urls import handler500 as handler500
from headshots.urls import urlpatterns as real_urlpatterns
from headshots.web.error_pages import error_page
from tests.helpers.factories import make_user
from tests.helpers.staff import make_staff

pytestmark = pytest.mark.django_db


def crash(request: HttpRequest) -> HttpResponse:
    secret_local = "the secret of this frame"
    raise RuntimeError(f"{secret_local} and {request.body!r}")


def missing(request: HttpRequest) -> HttpResponse:
    raise Http404("the secret reason")


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied("the secret reason")


def suspicious(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation("the secret reason")


urlpatterns = [
    path("admin/broken/crash/", crash),
    path("admin/broken/missing/", missing),
    path("admin/broken/forbidden/", forbidden),
    path("admin/broken/suspicious/", suspicious),
    *real_urlpatterns,
    path("broken/crash/", crash),
    path("broken/missing/", missing),
    path("broken/forbidden/", forbidden),
    path("broken/suspicious/", suspicious),
]


@pytest.fixture(params=[False, True], ids=["debug off", "debug on"])
def visitor(request: pytest.FixtureRequest, settings: LazySettings) -> Client:
    settings.ROOT_URLCONF = __name__
    settings.DEBUG = request.param
    return Client(raise_request_exception=False)


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/nowhere/at/all/", 404, "Page not found"),
        ("/broken/missing/", 404, "Page not found"),
        ("/broken/forbidden/", 403, "You don’t have access to this page"),
        ("/broken/suspicious/", 400, "We couldn’t read that request"),
        ("/broken/crash/", 500, "This is a problem on our side"),
    ],
)
def test_every_error_has_the_products_own_page(visitor: Client, address: str, status: int, words: str) -> None:
    response = visitor.post(address, {"diary": "the secret of this body"})

    page = response.content.decode()
    assert response.status_code == status
    assert words in page
    assert "secret" not in page
    assert "Traceback" not in page
    assert "urlconf" not in page.lower()


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/admin/broken/missing/", 404, "The audit log lists what staff did"),
        ("/admin/broken/forbidden/", 403, "Your role doesn't allow this"),
        ("/admin/broken/suspicious/", 400, "Nothing has changed. Please go back"),
        ("/admin/broken/crash/", 500, "logged under the request ID"),
    ],
)
def test_the_office_has_words_of_its_own(visitor: Client, address: str, status: int, words: str) -> None:
    visitor.force_login(make_staff("owner"))

    response = visitor.post(address, {"diary": "the secret of this body"})

    page = response.content.decode()
    assert response.status_code == status
    assert words in page
    assert response["X-Request-ID"] in page
    assert "<h1" in page
    assert page.count("<h1") == 1
    assert "secret" not in page
    assert "photo" not in page
    assert ("Sign out" in page) == (status in (403, 404))


def test_whoever_only_knocks_at_the_offices_door_is_answered_like_everybody(visitor: Client) -> None:
    visitor.force_login(make_user())

    assert "You don’t have access to this page" in visitor.get("/admin/", follow=True).content.decode()


def test_an_error_page_carries_the_same_headers_as_any_other(visitor: Client) -> None:
    for address in ("/nowhere/", "/broken/crash/", "/"):
        response = visitor.get(address)

        assert "default-src 'self'" in response["Content-Security-Policy"]
        assert response["Cache-Control"] == "no-store"
        assert response["Referrer-Policy"] == "same-origin"
        assert "camera=()" in response["Permissions-Policy"]
        assert response["X-Frame-Options"] == "DENY"


def test_a_host_we_do_not_answer_to_is_a_bad_request(visitor: Client) -> None:
    response = visitor.get("/", headers={"host": "elsewhere.example.org"})

    assert response.status_code == 400
    assert "We couldn’t read that request" in response.content.decode()
    assert "elsewhere" not in response.content.decode()


def test_a_stale_form_is_told_what_to_do(settings: LazySettings) -> None:
    for debug in (False, True):
        settings.DEBUG = debug

        response = Client(enforce_csrf_checks=True).post("/accounts/login/", {"login": "ada@example.org"})

        page = response.content.decode()
        assert response.status_code == 403
        assert "This page has expired" in page
        assert "reload the page" in page
        assert "CSRF" not in page


def test_an_upload_that_is_too_large_is_told_the_limits_in_force(settings: LazySettings) -> None:
    settings.HEADSHOTS_MAX_PHOTOS, settings.HEADSHOTS_MAX_PHOTO_BYTES = 3, 10 * 1024 * 1024

    for broken in (False, True):
        page = error_page(413, RequestFactory().post("/shoots/new/"), broken=broken).content.decode()

        assert "Each photo can be up to 10 MB, and you can upload up to 3 at a time." in page


@pytest.mark.parametrize("name", ["400", "403", "403_csrf", "404", "413", "429", "500", "503"])
def test_every_error_page_has_a_next_step(name: str) -> None:
    page = render_to_string(f"{name}.html").split('<div class="actions">')[1].split("</div>")[0]

    assert "<a" in page


def test_a_program_that_wants_no_page_gets_one_line(visitor: Client) -> None:
    response = visitor.get("/broken/crash/", headers={"accept": "application/json"})

    assert response.status_code == 500
    assert "secret" not in response.content.decode()


def test_a_missing_slash_is_added_for_readers_and_is_no_crash_for_forms(visitor: Client) -> None:
    assert visitor.get("/how-it-works").url == "/how-it-works/"
    assert visitor.post("/how-it-works").status_code == 404
