"""A class at work for hours in a lab of its own, and whether anything of that lab grows meanwhile."""
