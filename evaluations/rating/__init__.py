"""How a score comes about: facts of speech, evidence in the words, arithmetic, and feedback."""
