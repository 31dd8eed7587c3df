"""What is run from a checkout of this project: set-up, reference, demo, the starter adapter."""
