"""What is asked of the field's data, one module an experiment; each gives a `Result`."""
