"""What is made for a student beside the rating: pipelines on the same queue, after everybody's rating."""
