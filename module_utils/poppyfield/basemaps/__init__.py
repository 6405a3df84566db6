"""Base maps: tiles in a file, for the map page or for projects, without internet."""
