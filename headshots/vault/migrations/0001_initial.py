import headshots.vault.blob_ids
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Blob',
            fields=[
                ('id', models.UUIDField(default=headshots.vault.blob_ids.new_blob_id, editable=False, primary_key=True, serialize=False)),
                ('ring', models.CharField(choices=[('source', 'Source'), ('result', 'Result')], max_length=8)),
                ('key_id', models.UUIDField(help_text="The shoot's id in the source ring, the pack's in the result ring.")),
                ('kind', models.CharField(max_length=32)),
                ('size', models.PositiveBigIntegerField(help_text='Bytes before encryption.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'indexes': [models.Index(fields=['ring', 'key_id'], name='blob_by_key'), models.Index(fields=['ring', 'id'], name='blob_by_name'), models.Index(fields=['ring', 'created_at', 'size'], name='blob_by_age')],
                'constraints': [models.CheckConstraint(condition=models.Q(('ring__in', ['source', 'result'])), name='blob_ring_is_known')],
            },
        ),
        migrations.CreateModel(
            name='Installation',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('only', models.BooleanField(default=True, editable=False, unique=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('only', True)), name='installation_is_one')],
            },
        ),
    ]
