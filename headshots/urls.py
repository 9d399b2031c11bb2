from django.contrib import admin
from django.urls import include, path

from headshots.accounts.views import logout
from headshots.dashboard.views import healthz
from headshots.shoots.verifying import verify

handler400 = "headshots.web.error_pages.bad_request"

urlpatterns = [
    path("", include("headshots.pages.urls")),
    path("", include("headshots.payments.urls")),
    path("shoots/", include("headshots.shoots.urls")),
    path("verify/", verify, name="verify"),
    path("retention/", include("headshots.retention.urls")),
    path("accounts/logout/", logout, name="account_logout"),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
]
