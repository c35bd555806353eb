"""Pieces of reports: pages, charts, sheets of pictures, and the files that hold them."""
