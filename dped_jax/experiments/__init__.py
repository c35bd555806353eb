"""The paper's experiments, one command each, on top of train and evaluate."""
