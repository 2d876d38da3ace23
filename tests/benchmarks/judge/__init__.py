"""The configured model against the gold set: how far its ratings are from the two markings."""
