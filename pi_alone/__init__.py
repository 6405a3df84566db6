"""A Pi that installs itself from a bundle, without a laptop."""
