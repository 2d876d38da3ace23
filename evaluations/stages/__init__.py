"""What each stage of the pipeline `evaluation` does to a submission; pipeline.py registers them."""
