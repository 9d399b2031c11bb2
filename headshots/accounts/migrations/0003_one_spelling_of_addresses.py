import logging

from django.db import migrations

from headshots.accounts.addresses import normalize

logger = logging.getLogger(__name__)


def normalize_addresses(apps, schema_editor):
    """Bring stored addresses into the spelling that is looked for. Two accounts with one address stay two: whose it is
    only their owner can say."""
    for label, name in (("accounts", "User"), ("account", "EmailAddress")):
        rows = apps.get_model(label, name).objects
        for pk, address in list(rows.values_list("pk", "email")):
            spelling = normalize(address)
            if spelling == address:
                continue
            if rows.filter(email=spelling).exists():
                logger.warning("%s %s keeps an address that another one has in its right spelling", name, pk)
                continue
            rows.filter(pk=pk).update(email=spelling)


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0002_leaving_and_sessions"),
        ("account", "0009_emailaddress_unique_primary_email"),
    ]

    operations = [migrations.RunPython(normalize_addresses, migrations.RunPython.noop)]
