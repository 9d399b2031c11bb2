import django.db.models.deletion
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('shoots', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='LocalStripeObject',
            fields=[
                ('id', models.CharField(max_length=255, primary_key=True, serialize=False)),
                ('body', models.JSONField()),
            ],
        ),
        migrations.CreateModel(
            name='LedgerEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('kind', models.CharField(choices=[('charge', 'Charge'), ('refund', 'Refund'), ('refund_failed', 'Refund Failed'), ('dispute', 'Dispute'), ('dispute_won', 'Dispute Won')], editable=False, max_length=13)),
                ('amount', models.IntegerField(editable=False)),
                ('currency', models.CharField(editable=False, max_length=3)),
                ('mode', models.CharField(choices=[('live', 'Live'), ('test', 'Test'), ('local', 'Local')], editable=False, max_length=5)),
                ('payment_id', models.UUIDField(db_index=True, editable=False)),
                ('stripe_id', models.CharField(editable=False, max_length=255)),
            ],
            options={
                'verbose_name_plural': 'ledger entries',
                'ordering': ['id'],
                'indexes': [models.Index(fields=['at'], name='ledger_by_time')],
                'constraints': [models.UniqueConstraint(fields=('kind', 'stripe_id'), name='one_entry_per_movement')],
            },
        ),
        migrations.CreateModel(
            name='Payment',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('engine', models.CharField(max_length=16)),
                ('mode', models.CharField(choices=[('live', 'Live'), ('test', 'Test'), ('local', 'Local')], max_length=5)),
                ('state', models.CharField(choices=[('open', 'Open'), ('processing', 'Processing'), ('paid', 'Paid'), ('expired', 'Expired'), ('failed', 'Failed'), ('refunded', 'Refunded'), ('disputed', 'Disputed'), ('lost', 'Lost')], default='open', max_length=10)),
                ('amount', models.PositiveIntegerField()),
                ('currency', models.CharField(max_length=3)),
                ('amount_paid', models.PositiveIntegerField(default=0)),
                ('amount_tax', models.PositiveIntegerField(default=0)),
                ('amount_refunded', models.PositiveIntegerField(default=0)),
                ('session_id', models.CharField(blank=True, max_length=255, null=True, unique=True)),
                ('session_url', models.TextField(blank=True)),
                ('payment_intent', models.CharField(blank=True, db_index=True, max_length=255)),
                ('dispute_id', models.CharField(blank=True, max_length=255)),
                ('dispute_state', models.CharField(blank=True, choices=[('', 'None'), ('open', 'Open'), ('won', 'Won'), ('lost', 'Lost')], default='', max_length=4)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('expires_at', models.DateTimeField()),
                ('paid_at', models.DateTimeField(blank=True, null=True)),
                ('last_stripe_call_at', models.DateTimeField(blank=True, null=True)),
                ('owner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='payments', to=settings.AUTH_USER_MODEL)),
                ('pack', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='payment', to='shoots.pack')),
            ],
            options={
                'ordering': ['-created_at'],
            },
        ),
        migrations.CreateModel(
            name='Credit',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('source', models.CharField(choices=[('payment', 'Payment'), ('grant', 'Grant'), ('redo', 'Redo')], max_length=7)),
                ('state', models.CharField(choices=[('open', 'Open'), ('used', 'Used'), ('refunded', 'Refunded'), ('revoked', 'Revoked')], default='open', max_length=8)),
                ('reason', models.CharField(blank=True, max_length=32)),
                ('return_reason', models.CharField(blank=True, max_length=32)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('open_since', models.DateTimeField(default=django.utils.timezone.now)),
                ('pending_mail', models.CharField(blank=True, choices=[('', 'None'), ('available', 'Available'), ('purchased', 'Purchased')], default='', max_length=9)),
                ('owner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='credits', to=settings.AUTH_USER_MODEL)),
                ('pack', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='credit', to='shoots.pack')),
                ('redo_of', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='redo', to='shoots.pack')),
                ('payment', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='credit', to='payments.payment')),
            ],
            options={
                'ordering': ['open_since'],
            },
        ),
        migrations.CreateModel(
            name='Refund',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('amount', models.PositiveIntegerField()),
                ('reason', models.CharField(choices=[('person', 'Requested by the customer'), ('unused', 'Paid but not used'), ('account_deleted', 'Account deleted'), ('quality', 'Quality not as promised'), ('duplicate', 'Duplicate payment'), ('fraudulent', 'Fraudulent payment'), ('goodwill', 'Goodwill'), ('stripe', 'Created at Stripe')], max_length=16)),
                ('state', models.CharField(choices=[('requested', 'Requested'), ('pending', 'Pending'), ('succeeded', 'Succeeded'), ('failed', 'Failed')], default='requested', max_length=9)),
                ('stripe_id', models.CharField(blank=True, max_length=255, null=True, unique=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('last_stripe_call_at', models.DateTimeField(blank=True, null=True)),
                ('mail_due', models.BooleanField(default=True)),
                ('payment', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='payments.payment')),
            ],
            options={
                'ordering': ['created_at'],
            },
        ),
        migrations.CreateModel(
            name='WebhookEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.CharField(max_length=255, unique=True)),
                ('type', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField()),
                ('received_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('fetched', models.BooleanField(default=False)),
                ('outcome', models.CharField(choices=[('done', 'Done'), ('ignored', 'Ignored'), ('waiting', 'Waiting')], default='ignored', max_length=7)),
                ('object_id', models.CharField(blank=True, max_length=255)),
                ('payment_intent', models.CharField(blank=True, max_length=255)),
                ('amount', models.BigIntegerField(blank=True, null=True)),
                ('amount_tax', models.BigIntegerField(blank=True, null=True)),
                ('currency', models.CharField(blank=True, max_length=3)),
                ('status', models.CharField(blank=True, max_length=32)),
                ('payment', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='events', to='payments.payment')),
            ],
            options={
                'ordering': ['-received_at'],
            },
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(fields=['state', 'last_stripe_call_at'], name='payments_pa_state_e7610e_idx'),
        ),
        migrations.AddConstraint(
            model_name='payment',
            constraint=models.UniqueConstraint(condition=models.Q(('pack', None), ('state', 'open')), fields=('owner',), name='one_open_purchase_without_a_pack'),
        ),
        migrations.AddIndex(
            model_name='credit',
            index=models.Index(fields=['state', 'open_since'], name='payments_cr_state_f0e945_idx'),
        ),
        migrations.AddIndex(
            model_name='credit',
            index=models.Index(fields=['owner', 'state'], name='payments_cr_owner_i_76a8f6_idx'),
        ),
        migrations.AddIndex(
            model_name='refund',
            index=models.Index(fields=['state', 'last_stripe_call_at'], name='payments_re_state_6ada70_idx'),
        ),
        migrations.AddIndex(
            model_name='webhookevent',
            index=models.Index(fields=['outcome', 'payment_intent'], name='payments_we_outcome_d94c8c_idx'),
        ),
        migrations.AddIndex(
            model_name='webhookevent',
            index=models.Index(fields=['object_id', 'type'], name='payments_we_object__9bdbbf_idx'),
        ),
    ]
