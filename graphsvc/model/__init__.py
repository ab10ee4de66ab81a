"""What is remembered, as data. Pure: no input or output, no clock, no chance."""
