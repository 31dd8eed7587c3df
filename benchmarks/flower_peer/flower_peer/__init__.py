"""A Flower app as its manual has it: `FedAvg`, and clients whose updates are ready."""
