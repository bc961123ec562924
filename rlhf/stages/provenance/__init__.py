"""What is written down about how something was made, and whether it is still that."""
