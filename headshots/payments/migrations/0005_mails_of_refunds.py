from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def tell_of_refunds(apps: Apps, _editor: BaseDatabaseSchemaEditor) -> None:
    """The mails that were due about a credit are due about its refund now."""
    credit, refund = apps.get_model("payments", "Credit"), apps.get_model("payments", "Refund")
    refund.objects.filter(payment__credit__mail="refunded").update(mail_due=True)
    credit.objects.filter(mail="refunded").update(mail="")


class Migration(migrations.Migration):
    dependencies = [("payments", "0004_why_a_credit_came_back")]

    operations = [
        # Nobody is told now of what was given back long ago.
        migrations.AddField("refund", "mail_due", models.BooleanField(default=False)),
        migrations.RunPython(tell_of_refunds, migrations.RunPython.noop),
        migrations.AlterField("refund", "mail_due", models.BooleanField(default=True)),
        migrations.AlterField(
            "credit",
            "mail",
            models.CharField(
                blank=True,
                choices=[("", "None"), ("waiting", "Waiting"), ("bought", "Bought")],
                default="",
                max_length=8,
            ),
        ),
    ]
