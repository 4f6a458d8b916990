"""The appliance put together: what every door answers, what the operator sees, and the loop that runs it all."""
