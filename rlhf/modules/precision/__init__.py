"""Training with bfloat16 weights: the float32 weights behind them, and Lightning's plugin."""
