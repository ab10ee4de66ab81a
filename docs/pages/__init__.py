"""The pages of the reference, each made from where the things that it tells of are declared."""
