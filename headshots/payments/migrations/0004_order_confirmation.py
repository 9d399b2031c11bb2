from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0003_refund_for_missing'),
    ]

    operations = [
        migrations.AlterField(
            model_name='credit',
            name='pending_mail',
            field=models.CharField(blank=True, choices=[('', 'None'), ('available', 'Available'), ('purchased', 'Purchased'), ('ordered', 'Ordered')], default='', max_length=9),
        ),
    ]
