"""What the commands do, from names and numbers to a run, a text or a figure."""
