"""Running a program: its calls in turn, what asks it to stop, its state taken and put back."""
