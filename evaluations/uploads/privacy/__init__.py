"""Rights of the people that recordings are of: what they agree to, how long it is kept, taking it along, erasure."""
