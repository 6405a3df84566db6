"""A Pi's own Wi-Fi: its network, the names that are known in it, and the card by which people join it."""
