"""Images: their names, what they are built from, and how they travel."""
