"""The form of a look: prompt, set, light and scales, checked against what the engines can do."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.validators import MinLengthValidator
from django.utils.dateformat import format as date_format

from headshots.engine.planning import OPTIONAL, SCALES, SETS, is_plain_color, recipe_faults
from headshots.shoots.looks.versions import LookContent, differences, latest
from headshots.shoots.models import Style

_LIGHT = ("light_right", "light_down", "light_front")
# The choice of the form for a set that is a hex color.
PLAIN_COLOR = "plain_color"
_HELP = {
    "key": "How much stronger the main light is than the fill light.",
    "rim": "Strength of the light from behind, on hair and shoulders.",
    "wrap": "How far the set's light wraps around the person's edges.",
    "tint": "How much of the set's color falls on the person.",
    "contrast": "Contrast of the whole picture.",
    "saturation": "1 leaves colors unchanged.",
    "vignette": "How much darker the corners are.",
    "guidance_scale": "Generated pictures: how closely they follow the prompt. Empty: built-in value.",
    "control_scale": "Generated pictures: how closely they follow the pose. Empty: built-in value.",
    "adapter_scale": "Generated pictures: how closely they follow the face. Empty: built-in value.",
}


def _scale(name: str) -> forms.FloatField:
    least, most = SCALES[name]
    widget = forms.NumberInput(attrs={"step": "0.01"})
    return forms.FloatField(
        min_value=least, max_value=most, required=name not in OPTIONAL, help_text=_HELP[name], widget=widget
    )


def _direction(label: str) -> forms.FloatField:
    return forms.FloatField(label=label, min_value=-1, max_value=1, widget=forms.NumberInput(attrs={"step": "0.01"}))


class LookForm(forms.ModelForm):  # type: ignore[type-arg]
    """The form of one look, saved as a draft. Order, price group and offer are edited in the list."""

    # True if the newest version has the same content, so that a form that is sent twice saves one draft.
    is_there = False
    # The number of the newest version when the page was rendered.
    based_on = forms.IntegerField(required=False, widget=forms.HiddenInput)
    title = forms.CharField(max_length=80, validators=[MinLengthValidator(2)])
    description = forms.CharField(max_length=200, required=False, widget=forms.TextInput(attrs={"size": "60"}))
    set = forms.ChoiceField(choices=[*((name, name.capitalize()) for name in SETS), (PLAIN_COLOR, "Plain color")])
    color = forms.CharField(
        required=False,
        max_length=7,
        help_text="Of the set “Plain color”: a hex color such as #1b3a5c. Without contrast, saturation 1 and without "
        "darker corners, pictures show exactly this color.",
    )
    monochrome = forms.BooleanField(required=False, help_text="Black and white.")
    light_right = _direction("Light, to the right")
    light_down = _direction("Light, down")
    light_front = _direction("Light, to the viewer")
    prompt = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "cols": 60}),
        help_text="Generated pictures: a prompt with {person} and, optionally, {outfit}. Empty: the built-in prompt.",
    )
    negative = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text="Generated pictures: what to avoid. Empty: the built-in prompt.",
    )
    # The names of these fields are those in SCALES.
    key = _scale("key")
    rim = _scale("rim")
    wrap = _scale("wrap")
    tint = _scale("tint")
    contrast = _scale("contrast")
    saturation = _scale("saturation")
    vignette = _scale("vignette")
    guidance_scale = _scale("guidance_scale")
    control_scale = _scale("control_scale")
    adapter_scale = _scale("adapter_scale")

    class Meta:
        model = Style
        fields = ["name"]

    def __init__(self, *args: Any, **options: Any) -> None:
        style: Style | None = options.get("instance")
        self.newest = latest(style) if style is not None and style.pk else None
        look = self.newest or LookContent("")
        initial = _initial(look.title, look.description, look.recipe)
        initial["based_on"] = self.newest and self.newest.number
        options["initial"] = initial | (options.get("initial") or {})
        super().__init__(*args, **options)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        for name, fault in recipe_faults(self.recipe).items():
            if name == "set" and cleaned["set"] == PLAIN_COLOR:
                self.add_error("color", "Enter a hex color such as #1b3a5c.")
                continue
            self.add_error(name if name in self.fields else "light_front", fault)
        if not self.errors and self.newest is not None:
            self._check_for_newer_version(self.newest.style)
        return cleaned

    def _check_for_newer_version(self, style: Style) -> None:
        """Refuse to overwrite a version that was saved after the page was rendered.

        Sets `is_there` instead if that version has the same content, because the form was then sent twice."""
        # Wait for a draft that is being saved at this moment.
        Style.objects.select_for_update().get(pk=style.pk)
        newest = latest(style)
        if self.cleaned_data["based_on"] == newest.number:
            return
        if not differences(newest, self.look):
            self.is_there = True
            return
        when = date_format(newest.created_at, "M j, Y, H:i")
        self.add_error(
            None,
            f"Account {newest.created_by} saved version {newest.number} on {when} UTC, after you opened this page. "
            "Your changes are still in this form but not saved. Review that version in another tab. "
            "Saving again makes your version the newest.",
        )
        # The next submission is based on the newest version, so it overwrites on purpose.
        self.data = {name: self.data[name] for name in self.data} | {"based_on": str(newest.number)}

    @property
    def recipe(self) -> dict[str, object]:
        """Return the recipe by the pipeline's field names, without empty fields."""
        data = self.cleaned_data
        backdrop = data["color"] if data["set"] == PLAIN_COLOR else data["set"]
        recipe: dict[str, object] = {"set": backdrop, "monochrome": data["monochrome"]}
        recipe["key_light"] = [data[name] for name in _LIGHT]
        recipe |= {name: data[name] for name in SCALES if data.get(name) is not None}
        return recipe | {name: data[name] for name in ("prompt", "negative") if data.get(name)}

    @property
    def look(self) -> LookContent:
        return LookContent(self.cleaned_data["title"], self.cleaned_data["description"], self.recipe)


def _initial(title: str, description: str, recipe: Mapping[str, Any]) -> dict[str, object]:
    from headshots.engine.planning import style_from

    style = style_from(name="any", title="any", recipe=dict(recipe))
    values: dict[str, object] = {name: getattr(style, name) for name in SCALES}
    values |= dict(zip(_LIGHT, style.key_light, strict=True))
    plain = is_plain_color(style.set)
    values |= {"set": PLAIN_COLOR if plain else style.set, "color": style.set if plain else ""}
    values |= {"monochrome": style.monochrome, "prompt": style.prompt, "negative": style.negative}
    return values | {"title": title, "description": description}


class UploadLooksForm(forms.Form):
    """A form for a file of looks, in the format that `export` writes."""

    file = forms.FileField(help_text="A TOML file in the export format. Each look that differs becomes a draft.")

    def clean_file(self) -> str:
        file = self.cleaned_data["file"]
        if file.size > 200_000:
            raise forms.ValidationError("The file is too large. It can be up to 200 kB.")
        try:
            return str(file.read().decode("utf-8"))
        except UnicodeDecodeError as error:
            raise forms.ValidationError("This isn't a text file.") from error
