"""What a training run will need, before it begins: memory, arithmetic, time."""
