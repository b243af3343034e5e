"""What the method reaches on sounds that no network was trained on, beside what a sound engineer would try first."""
