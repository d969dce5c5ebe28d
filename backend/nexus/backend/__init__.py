"""The backend: one process per device, which batches, executes and answers dispatches."""
