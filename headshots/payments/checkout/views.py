"""The order page of a shoot: form, price, remaining time, and the redirect to the checkout."""

from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from headshots import engine
from headshots.accounts.current_user import current_user
from headshots.accounts.models import User
from headshots.payments.accounting.credits import (
    open_credits,
    return_credit,
)
from headshots.payments.checkout import early_start
from headshots.payments.checkout.deadlines import checkout_deadline, has_time_left, time_needed
from headshots.payments.checkout.orders import (
    Order,
    checkout_url,
    count_orders,
    find_unpaid_payment,
    order_with_credit,
    order_with_money,
    style_ids_of,
)
from headshots.payments.errors import NotForSale, OrderRefused, Refusal, StripeError
from headshots.payments.models import Payment
from headshots.payments.prices import format_money, get_price, is_for_sale
from headshots.payments.product_copy import CheckoutUrls, get_product_copy, policy_context
from headshots.shoots.access import shoot_or_404
from headshots.shoots.consent import current
from headshots.shoots.models import Pack, Photo, Shoot, Style
from headshots.shoots.uploads.forms import AgreedField

DEFAULT_LOOKS = 5


class OrderForm(forms.Form):
    """The form of an order. For `keep_photos` and `known_orders` see `Order`."""

    styles = forms.ModelMultipleChoiceField(
        queryset=Style.objects.none(),
        to_field_name="name",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Please choose at least one look."},
    )
    keep_photos = forms.BooleanField(required=False)
    begin_now = AgreedField(early_start.TEXT, please="We can only make headshots right away. Please check this box.")
    known_orders = forms.IntegerField(widget=forms.HiddenInput, min_value=0)

    def __init__(self, *args: object, looks: QuerySet[Style], **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.fields["styles"].queryset = looks  # type: ignore[attr-defined]


@require_http_methods(["GET", "HEAD", "POST"])
def order(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """Show the order form of a shoot, and take an order for money or with an open credit."""
    shoot = shoot_or_404(request, shoot_id)
    owner = current_user(request)
    # The task that returns the credit of an ended pack may not have run yet. The customer must not pay again.
    for ended in shoot.packs.filter(state__in=[Pack.State.FAILED, Pack.State.CANCELED], credit__state="used"):
        return_credit(pack=ended)
    looks = Style.objects.filter(active=True)
    if request.method != "POST":
        return _render_page(request, shoot, owner, OrderForm(initial=_initial_values(shoot, looks), looks=looks))
    form = OrderForm(request.POST, looks=looks)
    if not form.is_valid():
        return _render_page(request, shoot, owner, form, status=422)
    try:
        return _submit_order(request, shoot, owner, form)
    except OrderRefused as refused:
        refusal, status = refused.refusal, 409
    except NotForSale:
        refusal, status = Refusal.NOT_FOR_SALE, 409
    except StripeError:
        refusal, status = Refusal.STRIPE_UNAVAILABLE, 503
    shoot.refresh_from_db()
    # The next attempt is about the orders that this page shows.
    now = request.POST.copy()
    now["known_orders"] = str(count_orders(shoot))
    return _render_page(request, shoot, owner, OrderForm(now, looks=looks), refusal=refusal, status=status)


def _submit_order(request: HttpRequest, shoot: Shoot, owner: User, form: OrderForm) -> HttpResponse:
    given = form.cleaned_data
    wanted = Order(
        shoot,
        list(given["styles"]),
        known_orders=given["known_orders"],
        keep_photos=given["keep_photos"],
        begin_now=given["begin_now"],
    )
    if "credit" in request.POST and order_with_credit(order=wanted, owner=owner):
        messages.success(
            request,
            "Your order has been placed. You can close this page. We'll email you when your headshots are ready.",
        )
        return redirect("shoots:detail", shoot.pk)
    return to_checkout(request, order_with_money(order=wanted, owner=owner))


def _initial_values(shoot: Shoot, looks: QuerySet[Style]) -> dict[str, object]:
    """Return the initial values of the order form.

    Selects the looks of the shoot's last order, even if unpaid, or else the first looks."""
    last = Pack.objects.filter(shoot=shoot, kind=Pack.Kind.PREMIUM).last()
    chosen = [look for look in looks if look.pk in style_ids_of(last)] if last else []
    return {
        "styles": [look.name for look in chosen or looks[:DEFAULT_LOOKS]],
        "keep_photos": shoot.keep_photos,
        "known_orders": count_orders(shoot),
    }


def _render_page(
    request: HttpRequest,
    shoot: Shoot,
    owner: User,
    form: OrderForm,
    *,
    refusal: Refusal | None = None,
    status: int = 200,
) -> HttpResponse:
    name, count = engine.engine_name(), settings.HEADSHOTS_PREMIUM_COUNT
    unpaid = find_unpaid_payment(shoot)
    credit = open_credits(owner).first()
    deadline = checkout_deadline(shoot, engine_name=name, count=count)
    if deadline is None and unpaid and timezone.now() < unpaid.expires_at:
        # The checkout was opened in time, and is still open.
        deadline = unpaid.expires_at
    time_left = has_time_left(shoot, engine_name=name, count=count) if credit else deadline is not None
    in_work = shoot.packs.filter(kind=Pack.Kind.PREMIUM, state__in=Pack.IN_WORK).values_list("state", flat=True)
    tips = list(shoot.photos.filter(state__in=Photo.USABLE).values_list("tips", flat=True))
    soft = [] if engine.is_generative(name) else [each for each in tips if engine.SHARPER_FOR_4K in each]
    minutes = round(time_needed(engine_name=name, count=count).total_seconds() / 60)
    context = {
        "shoot": shoot,
        "form": form,
        "begin_now_text": current(early_start.TEXT),
        "refusal": refusal,
        "Refusal": Refusal,
        "has_photo": bool(tips),
        "soft_photos": len(soft),
        "all_photos_are_soft": len(soft) == len(tips),
        "in_work": in_work.first(),
        "unpaid_payment": unpaid,
        "unpaid_amount": format_money(unpaid.amount, unpaid.currency) if unpaid else "",
        "credit": credit,
        "is_for_sale": is_for_sale(),
        "price": get_price(name),
        "product": get_product_copy(engine_name=name),
        "engine": name,
        "min_style_count": engine.min_style_count(count),
        "checkout_deadline": deadline,
        "has_time_left": time_left,
        "usual_delivery": f"Takes about {minutes} minute{'' if minutes == 1 else 's'} with the current queue.",
        **policy_context(),
    }
    return render(request, "payments/order.html", context, status=status)


def to_checkout(request: HttpRequest, payment: Payment) -> HttpResponse:
    """Redirect to the checkout, or to the payment's page if there is nothing to pay. Raises StripeError."""
    # In development, return to the host that the browser used, because the session cookie belongs to that host.
    here = request.build_absolute_uri("/").rstrip("/")
    root = here if settings.DEBUG else settings.HEADSHOTS_SITE_URL or here
    url = checkout_url(payment=payment, urls=CheckoutUrls(root))
    if not url:
        return redirect("payments:payment", payment.pk)
    return HttpResponseRedirect(url, status=303)
