"""Services beside MLflow, a file each, and several at once. Importing this package imports none of
their libraries."""
