"""Who is in a class: lists, cards, join codes; and signing in by a card."""
