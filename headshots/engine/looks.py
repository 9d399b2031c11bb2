"""What a look may say: for those who edit looks."""

from pipeline.styles.rules import OPTIONAL, SCALES, SETS, recipe_faults

__all__ = ["OPTIONAL", "SCALES", "SETS", "recipe_faults"]
