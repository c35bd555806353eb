"""The paper's user study (section 4.3, Figure 10) as a web page."""
