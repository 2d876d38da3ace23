"""Everything that can go wrong, in words for people, and how requests are refused."""
