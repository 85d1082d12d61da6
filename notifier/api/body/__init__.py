"""Reading a request body: its limits, its decoding, its model, and the faults of its shape."""
