"""What a user gives -> checked arrays; shared by training and audit, and free of torch."""
