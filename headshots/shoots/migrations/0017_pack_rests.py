from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shoots", "0016_every_look_has_a_version")]

    operations = [
        migrations.AddField(
            model_name="pack",
            name="rests_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
