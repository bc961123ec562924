"""A run followed into MLflow and other services. Importing this package imports none of them."""
