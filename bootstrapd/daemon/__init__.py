"""The appliance put together: what each door answers, what the operator sees, and the loop that runs it."""
