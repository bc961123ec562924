"""From files to rows, with every wrong row named."""
