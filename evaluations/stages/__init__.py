"""What each stage of the pipelines does to a submission; pipeline.py registers them."""
