"""How large a headshot is, in the word that people know."""

# Ultra HD's long edge: from here on it is 4K.
FOUR_K_PX = 3840


def size_in_words(long_edge_px: int) -> str:
    """ "4K", or the pixels of the long edge where they are fewer: "1,600 pixels"."""
    return "4K" if long_edge_px >= FOUR_K_PX else f"{long_edge_px:,} pixels"
