from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from headshots import engine
from headshots.accounts.views import logout
from headshots.dashboard.views import healthz
from headshots.pages.views import terms
from headshots.shoots.verifying import verify

# Through the product's own sign-in page, where failed attempts are counted.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign, no-untyped-call]
admin.site.site_header = "Headshots"
admin.site.site_title = "Headshots admin"

handler400 = "headshots.web.error_pages.bad_request"

urlpatterns = [
    path("", include("headshots.pages.urls")),
    # Which engine works here is not for the pages to know.
    path("terms/", terms, {"draws": engine.draws_new_pictures}, name="terms"),
    path("shoots/", include("headshots.shoots.urls")),
    path("verify/", verify, name="verify"),
    path("retention/", include("headshots.retention.urls")),
    path("account/", include("headshots.rights.urls")),
    path("accounts/logout/", logout, name="account_logout"),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
]
