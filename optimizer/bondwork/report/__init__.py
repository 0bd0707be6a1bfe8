"""Reports for people: one self-contained HTML page for a plan, a comparison or a scenario tree."""
