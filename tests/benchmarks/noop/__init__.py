"""A Django app with nothing to do, in the words of each contender: the contest is about what is around the work."""
