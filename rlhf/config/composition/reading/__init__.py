"""How files of settings are read, to be composed."""
