from django.contrib import admin
from django.urls import include, path

from headshots import engine
from headshots.accounts.views import activate_second_factor, deactivate_second_factor, logout
from headshots.dashboard.views import healthz, metrics
from headshots.pages.views import terms
from headshots.shoots.verifying import verify

handler400 = "headshots.web.error_pages.bad_request"
handler403 = "headshots.web.error_pages.forbidden"
handler500 = "headshots.web.error_pages.server_error"

urlpatterns = [
    path("", include("headshots.pages.urls")),
    # Which engine works here is not for the pages to know.
    path("terms/", terms, {"draws": engine.draws_new_pictures}, name="terms"),
    path("", include("headshots.payments.urls")),
    path("shoots/", include("headshots.shoots.urls")),
    path("verify/", verify, name="verify"),
    path("retention/", include("headshots.retention.urls")),
    path("account/", include("headshots.rights.urls")),
    path("accounts/logout/", logout, name="account_logout"),
    # Before allauth's own, by the same name.
    path("accounts/2fa/totp/activate/", activate_second_factor, name="mfa_activate_totp"),
    path("accounts/2fa/totp/deactivate/", deactivate_second_factor, name="mfa_deactivate_totp"),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("metrics", metrics, name="metrics"),
]
