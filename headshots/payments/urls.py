from django.urls import path

from headshots.payments import views
from headshots.payments.checkout.views import order

app_name = "payments"
urlpatterns = [
    path("pricing/", views.pricing, name="pricing"),
    path("shoots/<uuid:shoot_id>/order/", order, name="order"),
    path("payments/", views.history, name="history"),
    path("payments/<uuid:payment_id>/", views.payment, name="payment"),
    path("payments/credits/<uuid:credit_id>/refund/", views.refund, name="refund"),
    path("payments/packs/<uuid:pack_id>/redo/", views.redo, name="redo"),
    path("payments/packs/<uuid:pack_id>/answer/", views.answer, name="answer"),
    path("stripe/webhook/", views.webhook, name="webhook"),
    path("test-checkout/<str:session_id>/", views.test_checkout, name="test_checkout"),
]
