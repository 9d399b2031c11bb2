"""The form of an abuse report."""

from django import forms

# The codes are those of the dashboard's cases.
ABOUT = (
    ("me", "Someone used a photo of me"),
    ("child", "A picture shows a child"),
    ("other_person", "A picture shows someone I represent"),
    ("other", "Something else"),
)


class ReportForm(forms.Form):
    """The form in which anyone reports a picture."""

    about = forms.ChoiceField(label="What is it about?", choices=ABOUT)
    where = forms.CharField(
        label="Where is the picture?",
        max_length=1000,
        required=False,
        help_text="The link to the page that shows it. Please don’t send the picture.",
    )
    message = forms.CharField(
        label="What happened, and what should we do?",
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="An email or name that the person used helps us to find the account.",
    )
    email = forms.EmailField(label="Your email", max_length=254, help_text="Only for our answer. We don’t store it.")
