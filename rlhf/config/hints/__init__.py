"""What people write in place of what they mean: words of other libraries, values without quotes."""
