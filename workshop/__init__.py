"""What develops and shows Poppyfield; nothing of the product imports from here."""
