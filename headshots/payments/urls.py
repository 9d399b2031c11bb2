from django.urls import path

from headshots.payments import views
from headshots.payments.checkout.views import order
from headshots.payments.withdrawal import views as withdrawal_views

app_name = "payments"
urlpatterns = [
    path("pricing/", views.pricing, name="pricing"),
    path("shoots/<uuid:shoot_id>/order/", order, name="order"),
    path("payments/", views.history, name="history"),
    path("payments/<uuid:payment_id>/", views.payment, name="payment"),
    path("payments/<uuid:payment_id>/withdraw/", withdrawal_views.withdrawal, name="withdrawal"),
    path("withdraw/", withdrawal_views.withdrawals, name="withdrawals"),
    path("withdraw/<str:token>/", withdrawal_views.confirm_withdrawal, name="confirm_withdrawal"),
    path("payments/credits/<uuid:credit_id>/refund/", views.refund, name="refund"),
    path("payments/packs/<uuid:pack_id>/redo/", views.redo, name="redo"),
    path("payments/packs/<uuid:pack_id>/answer/", views.answer, name="answer"),
    path("stripe/webhook/", views.webhook, name="webhook"),
    path("test-checkout/<str:session_id>/", views.test_checkout, name="test_checkout"),
]
