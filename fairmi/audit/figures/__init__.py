"""What is measured: predictions in, records of figures out."""
