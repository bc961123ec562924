"""Models on MLflow's model pages. Importing this package imports no MLflow."""
