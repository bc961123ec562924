"""Steps of fixed shapes, which CUDA graphs capture and replay."""
