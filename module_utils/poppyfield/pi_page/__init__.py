"""The page of a Pi: how it fares, for whoever opens it in a browser. Written on the Pi itself, by a timer."""
