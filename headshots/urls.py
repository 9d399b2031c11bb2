from django.contrib import admin
from django.contrib.sitemaps.views import sitemap
from django.urls import include, path, re_path

from headshots import engine
from headshots.accounts import views as accounts
from headshots.dashboard.monitoring.views import healthz, metrics
from headshots.dashboard.reports.cases import receive_report
from headshots.pages.sitemap import PublicPages
from headshots.pages.urls import public_pages
from headshots.pages.views import terms
from headshots.shoots.delivery.verify import verify, verify_json

handler400 = "headshots.web.error_pages.bad_request"
handler403 = "headshots.web.error_pages.forbidden"
handler500 = "headshots.web.error_pages.server_error"

urlpatterns = [
    path("", include(public_pages(engine.uses_generative_engine, receive_report))),
    # Passed as an argument, because headshots.pages must not import the engine.
    path("terms/", terms, {"is_generative": engine.uses_generative_engine}, name="terms"),
    path("", include("headshots.payments.urls")),
    path("shoots/", include("headshots.shoots.urls")),
    path("sitemap.xml", sitemap, {"sitemaps": {"pages": PublicPages}}, name="sitemap"),
    path("verify/", verify, name="verify"),
    path("verify.json", verify_json, name="verify_json"),
    path("retention/", include("headshots.retention.urls")),
    path("account/", include("headshots.data_rights.urls")),
    # These replace allauth's URLs of the same names, so they come first.
    path("accounts/logout/", accounts.logout, name="account_logout"),
    path("accounts/email/", accounts.email_addresses, name="account_email"),
    re_path(
        r"^accounts/password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        accounts.reset_password_from_mail,
        name="account_reset_password_from_key",
    ),
    path("accounts/2fa/totp/activate/", accounts.activate_second_factor, name="mfa_activate_totp"),
    path("accounts/2fa/totp/deactivate/", accounts.deactivate_second_factor, name="mfa_deactivate_totp"),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("metrics", metrics, name="metrics"),
]
