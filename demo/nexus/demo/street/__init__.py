"""A street camera's query: who and what is there, and what the camera's own clock says."""
