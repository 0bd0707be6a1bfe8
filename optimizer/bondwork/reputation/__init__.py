"""What the past says: score-driven filters of success probabilities, their rivals, and who is right."""
