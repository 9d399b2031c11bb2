"""The operator's admin site: the dashboard as its first page, sign-in through the product."""

from collections.abc import Callable

from allauth.account.decorators import secure_admin_login
from allauth.account.utils import get_next_redirect_url
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.http import urlencode

from headshots.dashboard import support, views
from headshots.dashboard.actions.action_views import confirm_action, history, target_page
from headshots.dashboard.roles import lacks_second_factor, second_factor_url_name


class OperatorSite(admin.AdminSite):
    site_header = "Headshots"
    site_title = "Headshots"
    index_title = "Dashboard"
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and not lacks_second_factor(request)

    def login(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:
        """Sign staff in through the product's own page, which limits attempts and asks for second factors.

        Redirects staff who are signed in already to the requested page, or first to the one for the second factor."""
        user = request.user
        if user.is_authenticated and user.is_staff and user.is_active:
            after = get_next_redirect_url(request) or reverse("admin:index")
            if lacks_second_factor(request):
                return HttpResponseRedirect(f"{reverse(second_factor_url_name(request))}?{urlencode({'next': after})}")
            return HttpResponseRedirect(after)
        login = secure_admin_login(super().login)  # type: ignore[no-untyped-call]
        answer: HttpResponse = login(request, extra_context)
        return answer

    def index(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> TemplateResponse:
        return views.dashboard(request, self.each_context(request) | {"app_list": self.get_app_list(request)})

    def get_urls(self) -> list[URLResolver | URLPattern]:
        def staff(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
            return self.admin_view(view)

        own = [
            path("health/", staff(views.health_checks), name="health"),
            path("charts/<slug:code>.svg", staff(views.chart), name="chart"),
            path("tables/<slug:code>.csv", staff(views.table_csv), name="table_csv"),
            path("support/<uuid:shoot_id>/", staff(support.timeline), name="support_timeline"),
            path("support/<uuid:shoot_id>/headshots/", staff(support.gallery), name="support_gallery"),
            path(
                "support/<uuid:shoot_id>/headshots/<uuid:headshot_id>.jpg",
                staff(support.picture),
                name="support_picture",
            ),
            path("actions/<slug:code>/<str:target_id>/", staff(confirm_action), name="action"),
            path("targets/<slug:target_type>/<str:target_id>/", staff(target_page), name="target"),
            path("<slug:app>/<slug:model>/<path:object_id>/history/", staff(history), name="history"),
        ]
        return own + super().get_urls()
