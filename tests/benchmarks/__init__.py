"""Figures, not tests: `make bench` prints them. They are read as ratios within one run, on whatever machine it is."""
