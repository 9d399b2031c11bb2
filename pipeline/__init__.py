"""Images in, images out: from a casual photo to headshots. Knows no web, queue, database or environment."""
