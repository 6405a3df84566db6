"""The one check of the inventory: a file of pure checkers for each subject, and `check.check` for all of them."""
