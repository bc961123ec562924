"""Training along a path of KL coefficients: what a point's end and the next one's beginning
change."""
