"""What the method reaches on sounds that no network was trained on, beside what others would try, and what it costs."""
