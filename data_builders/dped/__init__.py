"""The DPED data set: aligned patches of phone and DSLR photos."""
