"""Recurrent layers on a GPU, checked and timed against torch.nn; start at `__main__`."""
