"""Rating without a model: facts of speech, evidence in the transcript, scores and feedback."""
