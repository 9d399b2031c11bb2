"""The order form: which looks, and what happens to the photos afterwards."""

from django import forms
from django.db.models import QuerySet

from headshots.shoots.models import Style

DEFAULT_LOOKS = 5


class OrderForm(forms.Form):
    """Looks, and whether the photos may stay for another order. `number`: see `ordering.Order`."""

    styles = forms.ModelMultipleChoiceField(
        queryset=Style.objects.none(),
        to_field_name="name",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Please choose at least one look."},
    )
    keep_photos = forms.BooleanField(required=False)
    number = forms.IntegerField(widget=forms.HiddenInput, min_value=0)

    def __init__(self, *args: object, looks: QuerySet[Style], **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.fields["styles"].queryset = looks  # type: ignore[attr-defined]
