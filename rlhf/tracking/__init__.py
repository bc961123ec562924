"""Following a run's directory into MLflow. Importing this package imports no MLflow."""
