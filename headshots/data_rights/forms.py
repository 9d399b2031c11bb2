"""Forms of the account page: confirm the deletion of an account."""

from uuid import uuid4

from django import forms

from headshots.accounts.models import User


class DeleteAccountForm(forms.Form):
    """The form that confirms the deletion of an account with its password.

    The form contains the id of the future certificate, so that sending the form twice makes one deletion."""

    password = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}))
    certificate = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)

    def __init__(self, data: object, owner: User) -> None:
        super().__init__(data)  # type: ignore[arg-type]
        self.owner = owner

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if not self.owner.check_password(password):
            raise forms.ValidationError("That password is incorrect. Nothing was deleted.", code="wrong")
        return password
