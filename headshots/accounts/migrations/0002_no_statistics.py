"""Keep the values of account columns out of PostgreSQL's statistics, where values outlive their rows."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Text columns, and index expressions such as the address in lower case. Lookups of unique values need no statistics.
_COLUMNS = """
SELECT c.relkind = 'i', c.relname, a.attname, a.attnum
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE (c.relname = ANY(%(tables)s) AND a.attnum > 0 AND NOT a.attisdropped
    OR i.indrelid::regclass::text = ANY(%(tables)s) AND i.indkey[a.attnum - 1] = 0)
  AND a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'jsonb'::regtype)
"""


def keep_no_statistics(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    models = [model for label in ("accounts", "account", "mfa") for model in apps.get_app_config(label).get_models()]
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(_COLUMNS, {"tables": [model._meta.db_table for model in models]})
        columns = cursor.fetchall()
    quote = schema_editor.quote_name
    for is_index, relation, name, number in columns:
        where = f"INDEX {quote(relation)} ALTER COLUMN {number}" if is_index else f"TABLE {quote(relation)} ALTER COLUMN"
        schema_editor.execute(f"ALTER {where} {'' if is_index else quote(name)} SET STATISTICS 0")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("account", "0009_emailaddress_unique_primary_email"),
        ("mfa", "0003_authenticator_type_uniq"),
    ]

    operations = [migrations.RunPython(keep_no_statistics, migrations.RunPython.noop)]
