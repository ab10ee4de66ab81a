"""What the memory means to its user: episodes and skills."""
