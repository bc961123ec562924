"""How the ranks of a fit come about: started by the run's own process, or by torchrun or Slurm; how
they meet, and how they end."""
